"""The one way from a payment to credits, whichever event, page or collector asks for it.

Nothing that an event says is believed: the object is read again from Stripe and compared with our
own row. The grant's id is the PaymentIntent, so however often this runs, it credits once.
"""

import logging
from dataclasses import dataclass

from libs.events.replies import Reply
from libs.runtime.command_client import CommandClient
from services.payments.attempts import Attempts
from services.payments.customers import Customers
from services.payments.due import Due, intent_mismatch, session_mismatch
from services.payments.ledger_commands import grant
from services.payments.orders import Orders
from services.payments.stripe_api import StripeApi
from services.payments.stripe_objects import Intent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credited:
    """The ledger has the grant."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class NotPaid:
    """There is nothing to credit (yet); another event comes when that changes."""

    status: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Money that cannot be credited by itself: a person must look."""

    reason: str


Outcome = Credited | NotPaid | Quarantined


class Crediting:
    """Turns paid sessions and PaymentIntents into grants.

    Its calls raise StripeUnavailable and LedgerUnavailable: then nothing is known and the caller
    tries again later.
    """

    def __init__(
        self,
        orders: Orders,
        attempts: Attempts,
        customers: Customers,
        stripe: StripeApi,
        ledger: CommandClient,
        *,
        livemode: bool,
        give_up_s: float,
    ) -> None:
        self._orders = orders
        self._attempts = attempts
        self._customers = customers
        self._stripe = stripe
        self._ledger = ledger
        self._livemode = livemode
        self._give_up_s = give_up_s

    async def session(self, session_id: str) -> Outcome:
        """Credit what a Checkout Session was paid for."""
        session = await self._stripe.session(session_id)
        if session.mode == "setup" and session.setup_intent_id is not None:
            await self.setup(session.setup_intent_id)
            return NotPaid("setup")
        if session.payment_status != "paid" or session.intent_id is None:
            return NotPaid(session.payment_status)
        order = await self._orders.get(session.client_reference_id or "")
        if order is None or order.session_id not in (None, session.id):
            return Quarantined("no order of ours has this Checkout Session")
        different = session_mismatch(order.due(livemode=self._livemode), session)
        if different is not None:
            return await self._quarantined(order.due(livemode=self._livemode), different)
        return await self.intent(session.intent_id)

    async def intent(self, intent_id: str) -> Outcome:
        """Credit what a PaymentIntent was paid for."""
        intent = await self._stripe.intent(intent_id)
        if intent.status != "succeeded":
            return NotPaid(intent.status)
        due = await self._due(intent)
        if due is None:
            return Quarantined("no order or recharge attempt of ours has this payment")
        different = intent_mismatch(due, intent)
        if different is not None:
            return await self._quarantined(due, different)
        if not await self._claim(due, intent.id):
            return Quarantined(f"{due.row_id} is already bound to another payment")
        reply = await self._ledger.send(grant(due, intent.id), give_up_s=self._give_up_s)
        if reply.reply != "Granted":
            return await self._quarantined(due, _refusal(reply))
        return await self._credited(due, intent, str(reply.data["grant_id"]))

    async def setup(self, setup_intent_id: str) -> None:
        """Remember a payment method that was saved without a payment."""
        setup = await self._stripe.setup(setup_intent_id)
        if setup.status == "succeeded" and setup.customer and setup.payment_method:
            await self._customers.save_method(setup.customer, setup.payment_method)

    async def _due(self, intent: Intent) -> Due | None:
        if "attempt_id" in intent.metadata:
            attempt = await self._attempts.get(intent.metadata["attempt_id"])
            return None if attempt is None else attempt.due(livemode=self._livemode)
        order = await self._orders.get(intent.metadata.get("order_id", ""))
        return None if order is None else order.due(livemode=self._livemode)

    async def _claim(self, due: Due, intent_id: str) -> bool:
        table = self._attempts if due.source == "recharge" else self._orders
        return await table.claim(due.row_id, intent_id)

    async def _credited(self, due: Due, intent: Intent, grant_id: str) -> Credited:
        if due.source == "recharge":
            await self._attempts.credited(due.row_id, grant_id)
        else:
            await self._save_method(due, intent)
            await self._orders.credited(due.row_id, grant_id)
        log.info("credited", extra={"row": due.row_id, "payment": intent.id, "grant": grant_id})
        return Credited(grant_id)

    async def _save_method(self, due: Due, intent: Intent) -> None:
        """At the first credit only: a late event must not bring an old card back."""
        order = await self._orders.get(due.row_id)
        if order is None or order.state == "credited" or not intent.reusable:
            return
        if intent.customer and intent.payment_method:
            await self._customers.save_method(intent.customer, intent.payment_method)

    async def _quarantined(self, due: Due, reason: str) -> Quarantined:
        if due.source == "recharge":
            await self._attempts.quarantined(due.row_id, reason)
        else:
            await self._orders.ended(due.row_id, "quarantined", reason)
        return Quarantined(reason)


def _refusal(reply: Reply) -> str:
    detail = reply.data.get("code") or reply.data.get("error") or reply.data.get("sqlstate")
    return f"the ledger answered {reply.reply} {detail}"
