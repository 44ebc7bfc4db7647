"""A customer's side of the shop, over the public ports: buying, balance, statement."""

import re
import time
from decimal import Decimal
from typing import Any, Self
from urllib.parse import urljoin

import httpx

PATIENCE_S = 10.0


class Operator:
    """Opens accounts and issues keys at /admin/v1."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"})
        self._calls = 0

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._calls += 1
        headers = {"idempotency-key": f"demo-{self._calls}"}
        return _good(self._http.post(f"/admin/v1{path}", json=body, headers=headers))

    def open_account(self, plan: str) -> str:
        return str(self.post("/accounts", {"plan": plan})["account_id"])

    def issue_key(self, account: str, purpose: str) -> str:
        return str(self.post(f"/accounts/{account}/keys", {"purpose": purpose})["secret"])


class Customer:
    """One account's owner: holds the account key, pays at the hosted page."""

    def __init__(self, url: str, secret: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=30
        )
        self._browser = httpx.Client(timeout=30)

    def get(self, path: str) -> dict[str, Any]:
        return _good(self._http.get(f"/billing/v1{path}"))

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _good(self._http.put(f"/billing/v1{path}", json=body))

    def available(self) -> Decimal:
        return Decimal(self.get("/balance")["available"])

    def price_line(self, name: str) -> dict[str, Any]:
        return next(line for line in self.get("/prices")["prices"] if line["name"] == name)

    def buy(self, pack: str, currency: str, *, return_to_shop: bool = True) -> dict[str, Any]:
        """Order a pack, pay with the test card, come back, wait for the credits."""
        order = {"pack": pack, "currency": currency}
        made = _good(self._http.post("/billing/v1/checkout", json=order))
        self._pay(made["checkout_url"], return_to_shop=return_to_shop)
        return self._until_credited(made["top_up_id"])

    def _pay(self, url: str, *, return_to_shop: bool) -> None:
        page = self._browser.get(url)
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        card = re.search(r'name="payment_method" value="([^"]+)"', page.text)
        if action is None or card is None:
            raise ValueError(f"no form on the payment page {url}")
        paid = self._browser.post(urljoin(url, action[1]), data={"payment_method": card[1]})
        if paid.status_code != httpx.codes.SEE_OTHER:
            raise ValueError(f"the payment page answered {paid.status_code}")
        if return_to_shop:
            self._browser.get(paid.headers["location"]).raise_for_status()

    def _until_credited(self, top_up_id: str) -> dict[str, Any]:
        top_up: dict[str, Any] = {}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            top_up = self.get(f"/top-ups/{top_up_id}")
            if top_up["state"] == "credited":
                return top_up
            time.sleep(0.1)
        raise TimeoutError(f"paid, but after {PATIENCE_S:g} s the top-up is {top_up.get('state')}")

    def wait_until_above(self, amount: Decimal) -> Decimal:
        deadline = time.monotonic() + PATIENCE_S * 3
        while time.monotonic() < deadline:
            if (available := self.available()) > amount:
                return available
            time.sleep(0.1)
        raise TimeoutError(f"the balance stayed at {self.available()}: nothing was recharged")

    def statement(self) -> list[dict[str, Any]]:
        """Every line, page by page."""
        lines: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(f"/entries?limit=100{after}")
            lines += page["entries"]
            if page["next"] is None:
                return lines
            after = f"&after={page['next']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._browser.close()


def _good(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise ValueError(f"{answer.request.method} {answer.request.url.path}: {answer.text}")
    body: dict[str, Any] = answer.json()
    return body
