"""Stripe behind our own words: every call to it stands here and in `stripe_reading`.

Reads are repeated freely. Calls that make something carry an idempotency key of ours, so that a
repeat after a lost answer cannot make a second one while Stripe remembers the key.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import stripe
from stripe.params import (
    CustomerCreateParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
)
from stripe.params.checkout import SessionCreateParams

from services.payments import stripe_reading as reading
from services.payments.settings import PaymentsSettings
from services.payments.stripe_objects import Event, Intent, SavedCard, Session, Setup

API_VERSION = "2026-10-28.endive"
RETRIES = 2
"""Given to the client by name: its own default is none."""


@contextlib.asynccontextmanager
async def open_client(settings: PaymentsSettings) -> AsyncIterator[stripe.StripeClient]:
    """The SDK's client, with everything that decides how it behaves said out loud."""
    transport = stripe.HTTPXClient(timeout=settings.stripe_timeout_s)
    base = settings.stripe_api_base
    try:
        yield stripe.StripeClient(
            settings.stripe_api_key.get_secret_value(),
            stripe_version=API_VERSION,
            base_addresses={"api": base.rstrip("/")} if base else None,
            max_network_retries=RETRIES,
            http_client=transport,
        )
    finally:
        await transport.close_async()  # type: ignore[no-untyped-call]


class StripeApi:
    """The calls that payments makes.

    Every method raises StripeUnavailable when there is no usable answer, StripeRefused when the
    call was refused without effect (ObjectMissing: no such object).
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1

    async def create_customer(self, account_id: str) -> str:
        params: CustomerCreateParams = {"metadata": {"account_id": account_id}}
        with reading.refusals():
            made = await self._v1.customers.create_async(
                params, {"idempotency_key": f"customer:{account_id}"}
            )
        return made.id

    async def create_session(self, params: SessionCreateParams, key: str) -> Session:
        with reading.refusals():
            made = await self._v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        return reading.session(made)

    async def portal_link(self, customer: str, return_url: str) -> str:
        with reading.refusals():
            made = await self._v1.billing_portal.sessions.create_async(
                {"customer": customer, "return_url": return_url}
            )
        return made.url

    async def session(self, ident: str) -> Session:
        with reading.refusals():
            return reading.session(await self._v1.checkout.sessions.retrieve_async(ident))

    async def intent(self, ident: str) -> Intent:
        with reading.refusals():
            return reading.intent(await self._v1.payment_intents.retrieve_async(ident))

    async def setup(self, ident: str) -> Setup:
        with reading.refusals():
            return reading.setup(await self._v1.setup_intents.retrieve_async(ident))

    async def saved_card(self, ident: str) -> SavedCard:
        with reading.refusals():
            return reading.saved_card(await self._v1.payment_methods.retrieve_async(ident))

    async def charge(self, params: PaymentIntentCreateParams, key: str) -> Intent:
        """Charge off session. Also raises CardRefused."""
        with reading.refusals():
            made = await self._v1.payment_intents.create_async(params, {"idempotency_key": key})
        return reading.intent(made)

    async def cancel(self, ident: str) -> Intent:
        """Make sure that nothing can be paid through this PaymentIntent any more.

        Returns what it is in the end: canceled, or succeeded when the payment was faster.
        """
        with reading.refusals(unless="payment_intent_unexpected_state"):
            return reading.intent(await self._v1.payment_intents.cancel_async(ident))
        return await self.intent(ident)

    async def intents_of_attempt(
        self, attempt_id: str, customer: str | None, since: datetime
    ) -> list[Intent]:
        """PaymentIntents made for a recharge attempt, newest first, by listing (never search)."""
        params: PaymentIntentListParams = {
            "created": {"gte": int(since.timestamp())},
            "limit": 100,
        }
        if customer is not None:
            params["customer"] = customer
        with reading.refusals():
            page = await self._v1.payment_intents.list_async(params)
            return [
                intent
                async for intent in _intents(page)
                if intent.metadata.get("attempt_id") == attempt_id
            ]

    async def events_since(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[Event]:
        """Events of these types, newest first."""
        with reading.refusals():
            page = await self._v1.events.list_async(
                {
                    "types": list(kinds),
                    "created": {"gte": int(since.timestamp())},
                    "limit": 100,
                }
            )
            async for event in page.auto_paging_iter():
                yield reading.event(event)


async def _intents(
    page: "stripe.ListObject[stripe.PaymentIntent]",
) -> AsyncIterator[Intent]:
    async for row in page.auto_paging_iter():
        yield reading.intent(row)
