"""Which Stripe customer an account is, and which saved payment method may be charged (PAY-3)."""

from typing import NamedTuple

from libs.runtime.clock import Clock
from libs.runtime.database import Pool
from services.payments.stripe_api import StripeApi


class Customer(NamedTuple):
    """References into Stripe. `payment_method` None: nothing may be charged off session."""

    customer: str
    payment_method: str | None


class Customers:
    """The table of customers."""

    def __init__(self, pool: Pool, stripe: StripeApi, clock: Clock) -> None:
        self._pool = pool
        self._stripe = stripe
        self._clock = clock

    async def get(self, account_id: str) -> Customer | None:
        row = await self._pool.fetchrow(
            "select customer, payment_method from payments.customers where account_id = $1",
            account_id,
        )
        return None if row is None else Customer(row["customer"], row["payment_method"])

    async def ensure(self, account_id: str) -> str:
        """The account's Stripe customer, made when there is none yet."""
        known = await self.get(account_id)
        if known is not None:
            return known.customer
        made = await self._stripe.create_customer(account_id)
        kept: str = await self._pool.fetchval(
            "insert into payments.customers (account_id, customer, updated_at)"
            " values ($1, $2, $3)"
            " on conflict (account_id) do update set updated_at = excluded.updated_at"
            " returning customer",
            account_id,
            made,
            self._clock.now(),
        )
        return kept

    async def save_method(self, customer: str, payment_method: str) -> None:
        """From now on this payment method is charged when the customer's account is recharged."""
        await self._pool.execute(
            "update payments.customers set payment_method = $2, updated_at = $3"
            " where customer = $1",
            customer,
            payment_method,
            self._clock.now(),
        )

    async def forget_method(self, payment_method: str) -> None:
        """It was taken off the customer: it is not charged again."""
        await self._pool.execute(
            "update payments.customers set payment_method = null, updated_at = $2"
            " where payment_method = $1",
            payment_method,
            self._clock.now(),
        )

    async def forget_methods_of(self, customer: str) -> None:
        """The customer was deleted at Stripe: nothing of theirs is charged again."""
        await self._pool.execute(
            "update payments.customers set payment_method = null, updated_at = $2"
            " where customer = $1",
            customer,
            self._clock.now(),
        )
