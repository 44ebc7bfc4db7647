"""An account in dollars: buys a pack, chats at cost + 10 %, runs dry, is recharged, goes on."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openai

from farebox.demo.shop import Customer, Operator
from farebox.demo.steps import Steps
from farebox.demo.sums import charge_of

MODEL = "grand-1"
TEN = Decimal("10.00")
LONG: Any = [{"role": "user", "content": "Tell the story of the fare box in 5400 words."}]
SHORT: Any = [{"role": "user", "content": "Say hello in 40 words."}]


class Dollars:
    """The story of one account; `spent` and `bought` are the demo's own books."""

    def __init__(self, steps: Steps, gateway: str, operator: Operator) -> None:
        self.steps = steps
        self.gateway = gateway
        self.operator = operator
        self.bought = Decimal(0)
        self.spent = Decimal(0)

    def open(self) -> None:
        with self.steps.step("An operator opens an account and issues its keys"):
            self.account = self.operator.open_account("payg")
            self.key = self.operator.issue_key(self.account, "inference")
            self.owner = Customer(self.gateway, self.operator.issue_key(self.account, "account"))
            self.sdk = openai.OpenAI(base_url=f"{self.gateway}/v1", api_key=self.key)
            self.price = self.owner.price_line(MODEL)
            self.steps.equal("available", self.owner.available(), Decimal(0))

    def be_refused(self) -> None:
        with self.steps.step("The unmodified OpenAI SDK asks before anything was paid"):
            error = self._refusal(SHORT)
            self.steps.equal("error code", error["code"], "insufficient_prepaid_balance")

    def buy(self, *, return_to_shop: bool = True) -> None:
        with self.steps.step("The owner buys a $10 pack on the hosted page"):
            top_up = self.owner.buy("usd-10", "USD", return_to_shop=return_to_shop)
            self.bought += TEN
            self.steps.equal("paid", Decimal(top_up["price"]), TEN)
            self.steps.equal("available", self.owner.available(), self.left)

    @property
    def left(self) -> Decimal:
        return self.bought - self.spent

    def chat(self) -> None:
        with self.steps.step("A chat completion is charged at cost + 10 %"):
            raw = self.sdk.chat.completions.with_raw_response.create(
                model=MODEL, messages=SHORT, max_tokens=100
            )
            answer: Any = raw.parse()
            own = charge_of(self.price, answer.usage)
            self.steps.say(
                f"usage: {answer.usage.prompt_tokens} in, {answer.usage.completion_tokens} out"
            )
            self.steps.equal("charged", Decimal(raw.headers["farebox-charged"]), own)
            self._booked(raw.headers["farebox-request-id"], own)

    def stream(self) -> None:
        with self.steps.step("A streamed chat is settled before its last byte"):
            raw = self.sdk.chat.completions.with_raw_response.create(
                model=MODEL, messages=SHORT, stream=True, max_tokens=100,
                stream_options={"include_usage": True},
            )  # fmt: skip
            usage, words = None, 0
            for chunk in raw.parse():
                words += sum(bool(choice.delta.content) for choice in chunk.choices)
                usage = chunk.usage or usage
            self.steps.say(f"{words} pieces streamed")
            self._booked(raw.headers["farebox-request-id"], charge_of(self.price, usage))

    def _booked(self, request: str, own: Decimal) -> None:
        """The receipt and the balance must be what our own books say."""
        self.spent += own
        receipt = self.owner.get(f"/requests/{request}")
        self.steps.equal("receipt's charge", Decimal(receipt["charge"]), own)
        cost = Decimal(receipt["upstream_cost"]["amount"])
        self.steps.true(f"that is upstream cost {cost} + 10 %", holds=_plus_margin(cost, own))
        self.steps.equal("available", self.owner.available(), self.left)

    def run_down(self) -> None:
        with self.steps.step("Four long answers run the account down to a 402"):
            for _ in range(4):
                self._spend_long()
            self.steps.equal("available", self.owner.available(), self.left)
            error = self._refusal(LONG)
            self.steps.equal("error code", error["code"], "insufficient_prepaid_balance")
            self.steps.equal(
                "402 says available", Decimal(error["details"]["available"]), self.left
            )

    def _spend_long(self) -> None:
        answer: Any = self.sdk.chat.completions.create(model=MODEL, messages=LONG, max_tokens=5400)
        own = charge_of(self.price, answer.usage)
        self.spent += own
        self.steps.say(f"{answer.usage.completion_tokens} tokens for {own}")

    def _refusal(self, messages: Any) -> dict[str, Any]:
        try:
            self.sdk.chat.completions.create(model=MODEL, messages=messages, max_tokens=5400)
        except openai.APIStatusError as error:
            self.steps.equal("status", error.status_code, 402)
            self.steps.say(f"“{error.message}”")
            body: Any = error.body
            return dict(body)
        raise ValueError("the request was served although it was not paid for")

    def recharge(self) -> None:
        with self.steps.step("Auto-recharge is turned on and tops the account up"):
            text = self.owner.get("/auto-recharge")["consent_text"]
            consent = {"text": text, "accepted_at": datetime.now(UTC).isoformat()}
            wish = {
                "auto_recharge_enabled": True, "auto_recharge_amount_usd": "10.00",
                "recharge_threshold_usd": "2.00", "consent": consent,
            }  # fmt: skip
            self.owner.put("/auto-recharge", wish)
            self.owner.wait_until_above(self.left)
            self.bought += TEN
            self.steps.equal("available", self.owner.available(), self.left)

    def go_on(self) -> None:
        with self.steps.step("And the customer's program simply goes on"):
            self._spend_long()
            self.steps.equal("available", self.owner.available(), self.left)


def _plus_margin(cost: Decimal, charge: Decimal) -> bool:
    """charge = cost x 1.1, rounded up to a nano."""
    difference = charge - cost * Decimal("1.1")
    return Decimal(0) <= difference < Decimal("0.000000001")
