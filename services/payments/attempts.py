"""Recharge attempts that the ledger admitted, each charged at most once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from libs.events import times
from libs.runtime.clock import Clock
from libs.runtime.database import Connection, Pool
from services.payments.due import Due


@dataclass(frozen=True, slots=True)
class Attempt:
    """`credits` are nanos, `price` minor units. Set at `frozen_at`, before Stripe first hears of
    it, and never changed: customer, payment_method, pack, shelf_months, catalogue.

    States: open, credited, failed, quarantined. `tries` counts the looks at it so far.
    """

    attempt_id: str
    account_id: str
    credits: int
    currency: str
    price: int
    started_at: datetime
    seen_at: datetime
    state: str
    frozen_at: datetime | None
    customer: str | None
    payment_method: str | None
    pack: str | None
    shelf_months: int | None
    catalogue: str | None
    payment_intent: str | None
    tries: int

    def due(self, *, livemode: bool) -> Due:
        return Due(
            source="recharge",
            row_id=self.attempt_id,
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


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt is charged with and what its credits are, fixed once."""

    customer: str
    payment_method: str
    pack: str | None
    shelf_months: int | None
    catalogue: str


async def record(connection: Connection, body: Mapping[str, Any], now: datetime) -> None:
    """Write the row of a RechargeStarted event, keyed by its place in the log; a repeat is none."""
    data = body["data"]
    await connection.execute(
        "insert into payments.attempts (incarnation, partition, position, attempt_id, account_id,"
        " credits, currency, price, started_at, seen_at, state, due_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $10) on conflict do nothing",
        body["incarnation"],
        body["partition"],
        body["position"],
        data["attempt_id"],
        body["account_id"],
        int(data["credits"]),
        data["price"]["currency"],
        data["price"]["minor"],
        times.from_text(body["occurred_at"]),
        now,
    )


class Attempts:
    """The table of attempts."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def get(self, attempt_id: str) -> Attempt | None:
        row = await self._pool.fetchrow(
            "select * from payments.attempts where attempt_id = $1",
            attempt_id,
        )
        return None if row is None else _attempt(row)

    async def lease(self, most: int, lease_s: float) -> list[Attempt]:
        """Take open attempts that are due; others leave them alone for `lease_s` seconds."""
        now = self._clock.now()
        rows = await self._pool.fetch(
            "update payments.attempts set due_at = $2, tries = tries + 1"
            " where attempt_id in (select attempt_id from payments.attempts"
            " where state = 'open' and due_at <= $1 order by due_at limit $3"
            " for update skip locked) returning *",
            now,
            now + timedelta(seconds=lease_s),
            most,
        )
        return [_attempt(row) for row in rows]

    async def freeze(self, attempt_id: str, terms: Terms) -> Attempt:
        """Fix what goes to Stripe; when that is done already, it stays as it is."""
        row = await self._pool.fetchrow(
            "update payments.attempts set frozen_at = coalesce(frozen_at, $2),"
            " customer = case when frozen_at is null then $3 else customer end,"
            " payment_method = case when frozen_at is null then $4 else payment_method end,"
            " pack = case when frozen_at is null then $5 else pack end,"
            " shelf_months = case when frozen_at is null then $6 else shelf_months end,"
            " catalogue = case when frozen_at is null then $7 else catalogue end"
            " where attempt_id = $1 returning *",
            attempt_id,
            self._clock.now(),
            terms.customer,
            terms.payment_method,
            terms.pack,
            terms.shelf_months,
            terms.catalogue,
        )
        assert row is not None
        return _attempt(row)

    async def claim(self, attempt_id: str, payment_intent: str) -> bool:
        """Bind the attempt to the one payment that may credit it; False when it has another."""
        claimed = await self._pool.fetchval(
            "update payments.attempts set payment_intent = $2"
            " where attempt_id = $1 and coalesce(payment_intent, $2) = $2 returning true",
            attempt_id,
            payment_intent,
        )
        return bool(claimed)

    async def credited(self, attempt_id: str, grant_id: str) -> None:
        await self._pool.execute(
            "update payments.attempts set state = 'credited', grant_id = $2, error = null"
            " where attempt_id = $1",
            attempt_id,
            grant_id,
        )

    async def failed(self, attempt_id: str, failure_class: str, failure_code: str) -> None:
        """The ledger knows that it failed; what was credited stays credited."""
        await self._pool.execute(
            "update payments.attempts set state = 'failed', failure_class = $2,"
            " failure_code = $3, error = null where attempt_id = $1 and state <> 'credited'",
            attempt_id,
            failure_class,
            failure_code,
        )

    async def quarantined(self, attempt_id: str, error: str) -> None:
        await self._pool.execute(
            "update payments.attempts set state = 'quarantined', error = $2"
            " where attempt_id = $1 and state <> 'credited'",
            attempt_id,
            error,
        )

    async def put_back(self, attempt_id: str, wait_s: float, error: str) -> None:
        """Nothing is known yet: look at it again after `wait_s` seconds."""
        await self._pool.execute(
            "update payments.attempts set due_at = $2, error = $3"
            " where attempt_id = $1 and state = 'open'",
            attempt_id,
            self._clock.now() + timedelta(seconds=wait_s),
            error,
        )

    async def wake(self, attempt_id: str) -> None:
        """Stripe says that something happened to it: look at it now."""
        await self._pool.execute(
            "update payments.attempts set due_at = $2 where attempt_id = $1 and state = 'open'",
            attempt_id,
            self._clock.now(),
        )


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(**{field.name: row[field.name] for field in fields(Attempt)})
