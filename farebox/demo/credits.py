"""An account in credits: a fixed price per call, given back when the call fails."""

from decimal import Decimal

import httpx

from farebox.demo.shop import Customer, Operator
from farebox.demo.steps import Steps

OPERATION = "/v1/score-image"
FAILING = "[[sim status=500]]"
"""A word that makes the provider's simulator fail, as a real one sometimes does."""


class Credits:
    def __init__(self, steps: Steps, gateway: str, operator: Operator) -> None:
        self.steps = steps
        self.gateway = gateway
        account = operator.open_account("studio")
        self.account = account
        self.key = operator.issue_key(account, "inference")
        self.owner = Customer(gateway, operator.issue_key(account, "account"))
        self.left = Decimal(0)

    def buy(self) -> None:
        with self.steps.step("Another account buys 100 credits for $2"):
            top_up = self.owner.buy("credits-100", "USD")
            self.left += 100
            self.steps.equal("paid", Decimal(top_up["price"]), Decimal(2))
            self.steps.equal("available", self.owner.available(), self.left)

    def score(self) -> None:
        with self.steps.step("score-image costs one credit"):
            answer = self._call("a cat on a mat")
            self.steps.equal("status", answer.status_code, 200)
            self.left -= 1
            self.steps.equal("charged", Decimal(answer.headers["farebox-charged"]), Decimal(1))
            self.steps.equal("available", self.owner.available(), self.left)

    def fail(self) -> None:
        with self.steps.step("A call that fails gives its credit back"):
            answer = self._call(FAILING)
            self.steps.true(f"status {answer.status_code} is an error", holds=answer.is_error)
            self.steps.equal("available", self.owner.available(), self.left)

    def _call(self, text: str) -> httpx.Response:
        return httpx.post(
            f"{self.gateway}{OPERATION}", json={"image": text}, timeout=30,
            headers={"authorization": f"Bearer {self.key}"},
        )  # fmt: skip
