"""What to do about each type of event: always by reading the object it points at again."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from services.payments.attempts import Attempts
from services.payments.credit import Crediting, Outcome, Quarantined
from services.payments.customers import Customers
from services.payments.errors import ObjectMissing
from services.payments.inbox import Hint
from services.payments.orders import Orders
from services.payments.stripe_api import StripeApi

log = logging.getLogger(__name__)

Handler = Callable[[str], Awaitable[Outcome | None]]


class Translator:
    """One handler for each type that concerns us. Unknown types are kept and ignored."""

    def __init__(
        self,
        crediting: Crediting,
        orders: Orders,
        attempts: Attempts,
        customers: Customers,
        stripe: StripeApi,
        attempt_moved: Callable[[], None],
    ) -> None:
        self._crediting = crediting
        self._orders = orders
        self._attempts = attempts
        self._customers = customers
        self._stripe = stripe
        self._wake = attempt_moved
        self.handlers: Final[dict[str, Handler]] = {
            "checkout.session.completed": crediting.session,
            "checkout.session.async_payment_succeeded": crediting.session,
            "checkout.session.async_payment_failed": self._session_ended,
            "checkout.session.expired": self._session_ended,
            "payment_intent.succeeded": crediting.intent,
            "payment_intent.payment_failed": self._attempt_moved,
            "payment_intent.processing": self._attempt_moved,
            "payment_intent.requires_action": self._attempt_moved,
            "payment_intent.canceled": self._attempt_moved,
            "setup_intent.succeeded": self._saved,
            "payment_method.detached": self._detached,
            "customer.deleted": self._customer_gone,
        }

    async def apply(self, hint: Hint) -> tuple[str, str | None]:
        """Do what the event asks for; the state its row ends in, and why.

        Raises:
            StripeUnavailable, LedgerUnavailable: nothing is known; try again later.
        """
        handler = self.handlers.get(hint.type)
        if handler is None:
            return "ignored", None
        try:
            outcome = await handler(hint.object_id)
        except ObjectMissing as error:
            outcome = Quarantined(str(error))
        if isinstance(outcome, Quarantined):
            log.error("quarantined", extra={"event": hint.event_id, "why": outcome.reason})
            return "quarantined", outcome.reason
        return "done", None

    async def _session_ended(self, session_id: str) -> None:
        """The page was left unpaid, or a delayed payment did not arrive."""
        order = await self._orders.by_session(session_id)
        if order is None:
            return
        session = await self._stripe.session(session_id)
        if session.status == "expired":
            await self._orders.ended(order.order_id, "expired")
        elif session.status == "complete" and session.payment_status == "unpaid":
            await self._orders.ended(order.order_id, "failed", "the payment did not arrive")

    async def _attempt_moved(self, intent_id: str) -> None:
        intent = await self._stripe.intent(intent_id)
        if "attempt_id" in intent.metadata:
            await self._attempts.wake(intent.metadata["attempt_id"])
            self._wake()

    async def _saved(self, setup_intent_id: str) -> None:
        await self._crediting.setup(setup_intent_id)

    async def _detached(self, payment_method: str) -> None:
        try:
            card = await self._stripe.saved_card(payment_method)
        except ObjectMissing:
            card = None
        if card is None or card.customer is None:
            await self._customers.forget_method(payment_method)

    async def _customer_gone(self, customer: str) -> None:
        await self._customers.forget_methods_of(customer)
