"""What a recharge of an account costs: its own money, or its plan's pack in the last currency."""

import logging
from collections.abc import Awaitable, Callable

import nats.errors
import orjson

from libs.catalogue import Catalogue, Pack
from libs.events import subjects
from libs.events.money import CREDIT, minor_to_nanos
from libs.runtime.errors import ConnectionLost
from services.recharge.policy import Offer, Standing

log = logging.getLogger(__name__)


class PaymentsUnavailable(Exception):
    """Payments did not say in which currency an account last paid."""


_NO_ANSWER = (
    ConnectionLost,
    nats.errors.Error,
    TimeoutError,
    orjson.JSONDecodeError,
    KeyError,
    TypeError,
)

AskPayments = Callable[[str, bytes], Awaitable[bytes]]
"""Sends a request to a subject and returns the bytes of its answer; nats errors when none came."""


class Offers:
    """Finds prices in the catalogue, and the currency of credits by asking payments."""

    def __init__(self, catalogue: Catalogue, ask_payments: AskPayments) -> None:
        self._catalogue = catalogue
        self._ask_payments = ask_payments

    def multiple(self, standing: Standing) -> int:
        """The amount bought at once: what the owner chose, else the pack; 0 for nothing to buy."""
        policy = standing.policy
        if policy is None:
            return 0
        if standing.unit != CREDIT:
            return policy.amount
        pack = self._pack(standing)
        return (policy.amount or pack.gives) if pack else 0

    async def find(self, account_id: str, standing: Standing) -> Offer | None:
        """The price of credits for an account; None when nothing is sold to it.

        Raises PaymentsUnavailable when the currency cannot be learned: it is never guessed.
        """
        if standing.unit != CREDIT:
            return Offer(standing.unit, minor=1, gives=minor_to_nanos(1, standing.unit))
        pack = self._pack(standing)
        if pack is None:
            return None
        last = await self._last_currency(account_id)
        for currency in (last, self._catalogue.currency, *sorted(pack.price)):
            if currency is not None and currency in pack.price:
                return Offer(currency, minor=pack.price[currency], gives=pack.gives)
        return None

    def _pack(self, standing: Standing) -> Pack | None:
        plan = self._catalogue.plans.get(standing.plan)
        chosen = standing.policy.pack if standing.policy else None
        name = chosen or (plan.recharge_pack if plan else None)
        pack = self._catalogue.packs.get(name) if name else None
        return pack if pack is not None and pack.unit == standing.unit else None

    async def _last_currency(self, account_id: str) -> str | None:
        """Currency of the account's last order, None when it never ordered."""
        question = orjson.dumps({"account_id": account_id, "last": True})
        try:
            raw = await self._ask_payments(subjects.payments_request("order"), question)
            answer = orjson.loads(raw)
            if answer["ok"]:
                order = answer["data"]
                return str(order["currency"]) if order else None
            log.warning("payments answered an order request with %s", answer.get("code"))
        except _NO_ANSWER as error:
            raise PaymentsUnavailable(repr(error)) from error
        raise PaymentsUnavailable("refused")
