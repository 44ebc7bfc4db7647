"""Orders: what was sold, as our own row, before Stripe hears of it."""

from dataclasses import dataclass, fields
from datetime import datetime

import asyncpg

from libs.catalogue.book import Pack
from libs.events.ids import new_id
from libs.runtime.clock import Clock
from libs.runtime.database import Pool
from services.payments.due import Due
from services.payments.stripe_objects import Session


@dataclass(frozen=True, slots=True)
class Order:
    """One top-up that was ordered. `credits` are nanos of `unit`, `price` minor units.

    States: created, open (its Checkout page can be paid), credited, expired, failed,
    quarantined (paid in a way that is not what was ordered; a person decides).
    """

    order_id: str
    account_id: str
    unit: str
    pack: str
    credits: int
    currency: str
    price: int
    shelf_months: int | None
    catalogue: str
    state: str
    customer: str | None
    session_id: str | None
    checkout_url: str | None
    payment_intent: str | None
    grant_id: str | None
    error: str | None
    created_at: datetime

    def due(self, *, livemode: bool) -> Due:
        return Due(
            source="purchase",
            row_id=self.order_id,
            account_id=self.account_id,
            customer=self.customer,
            currency=self.currency,
            price=self.price,
            credits=self.credits,
            pack=self.pack,
            shelf_months=self.shelf_months,
            catalogue=self.catalogue,
            livemode=livemode,
        )


class Orders:
    """The table of orders."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def place(
        self, account_id: str, pack: Pack, currency: str, catalogue: str, request_key: str | None
    ) -> Order:
        """Write the order; a repeat with the same key returns the first one unchanged."""
        now = self._clock.now()
        row = await self._pool.fetchrow(
            "insert into payments.orders (order_id, account_id, request_key, unit, pack, credits,"
            " currency, price, shelf_months, catalogue, state, created_at, updated_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'created', $11, $11)"
            " on conflict (account_id, request_key)"
            " do update set request_key = excluded.request_key returning *",
            new_id("topup"),
            account_id,
            request_key,
            pack.unit,
            pack.name,
            pack.gives,
            currency,
            pack.price[currency],
            pack.shelf_months,
            catalogue,
            now,
        )
        assert row is not None
        return _order(row)

    async def assign_customer(self, order_id: str, customer: str) -> None:
        """Which customer must pay; the first answer stays."""
        await self._pool.execute(
            "update payments.orders set customer = coalesce(customer, $2) where order_id = $1",
            order_id,
            customer,
        )

    async def opened(self, order_id: str, session: Session) -> None:
        """Its Checkout Session exists and can be paid."""
        await self._pool.execute(
            "update payments.orders set session_id = $2, checkout_url = $3, updated_at = $4,"
            " state = case state when 'created' then 'open' else state end where order_id = $1",
            order_id,
            session.id,
            session.url,
            self._clock.now(),
        )

    async def get(self, order_id: str) -> Order | None:
        return await self._one("select * from payments.orders where order_id = $1", order_id)

    async def by_session(self, session_id: str) -> Order | None:
        return await self._one("select * from payments.orders where session_id = $1", session_id)

    async def last_of(self, account_id: str) -> Order | None:
        """The account's latest order that was paid; without one, its latest."""
        return await self._one(
            "select * from payments.orders where account_id = $1"
            " order by state = 'credited' desc, created_at desc limit 1",
            account_id,
        )

    async def of(self, account_id: str, after: str | None, limit: int) -> list[Order]:
        """The account's orders, the latest first; their ids are in the order of their making."""
        rows = await self._pool.fetch(
            "select * from payments.orders where account_id = $1"
            " and ($2::text is null or order_id < $2) order by order_id desc limit $3",
            account_id,
            after,
            limit,
        )
        return [_order(row) for row in rows]

    async def claim(self, order_id: str, payment_intent: str) -> bool:
        """Bind the order to the one payment that may credit it; False when it has another."""
        claimed = await self._pool.fetchval(
            "update payments.orders set payment_intent = $2, updated_at = $3"
            " where order_id = $1 and coalesce(payment_intent, $2) = $2 returning true",
            order_id,
            payment_intent,
            self._clock.now(),
        )
        return bool(claimed)

    async def credited(self, order_id: str, grant_id: str) -> None:
        await self._pool.execute(
            "update payments.orders set state = 'credited', grant_id = $2, error = null,"
            " updated_at = $3 where order_id = $1",
            order_id,
            grant_id,
            self._clock.now(),
        )

    async def ended(self, order_id: str, state: str, error: str | None = None) -> None:
        """It ends in another way; what was credited stays credited."""
        await self._pool.execute(
            "update payments.orders set state = $2, error = $3, updated_at = $4"
            " where order_id = $1 and state <> 'credited'",
            order_id,
            state,
            error,
            self._clock.now(),
        )

    async def _one(self, query: str, value: str) -> Order | None:
        row = await self._pool.fetchrow(query, value)
        return None if row is None else _order(row)


def _order(row: asyncpg.Record) -> Order:
    return Order(**{field.name: row[field.name] for field in fields(Order)})
