"""The rows of recharge in PostgreSQL: what fell, what was asked, how far the events were read."""

from dataclasses import dataclass
from datetime import datetime

from libs.runtime.database import Connection, Pool

FALLEN = """
select account_id, partition, incarnation, position, occurred_at, state, below_since, look_at,
  not_before, room, room_until
from recharge.fallen
"""
DUE = FALLEN + "where look_at <= $1 order by look_at limit $2"
AFTER = FALLEN + "where account_id > $1 order by account_id limit $2"
SAVE_FALL = """
insert into recharge.fallen
  (account_id, partition, incarnation, position, occurred_at, seen_at, state, below_since, look_at)
values ($1, $2, $3, $4, $5, $6, $7, $5, $6)
on conflict (account_id) do update set
  partition = excluded.partition, incarnation = excluded.incarnation,
  position = excluded.position, occurred_at = excluded.occurred_at, seen_at = excluded.seen_at,
  state = excluded.state, below_since = excluded.below_since, look_at = excluded.look_at,
  reason = null, not_before = null, room = null, room_until = null
where (fallen.incarnation, fallen.position) < (excluded.incarnation, excluded.position)
"""
PLAN_LOOK = """
update recharge.fallen set
  look_at = $4, reason = $5, below_since = $6, not_before = $7, room = $8, room_until = $9
where account_id = $1 and incarnation = $2 and position = $3
"""
FORGET = """
delete from recharge.fallen where account_id = $1 and incarnation = $2 and position = $3
"""
SAVE_ATTEMPT = """
insert into recharge.attempts
  (attempt_id, account_id, credits, currency, price, trigger, stored_at, state, deadline)
values ($1, $2, $3, $4, $5, $6, $7, 'stored', $8)
on conflict do nothing
"""
STORED_ATTEMPT = """
select attempt_id, account_id, credits, currency, price, trigger, deadline
from recharge.attempts where account_id = $1 and state = 'stored'
"""


@dataclass(frozen=True, slots=True)
class Fall:
    """A BalanceFellBelowThreshold as it is stored."""

    account_id: str
    partition: int
    incarnation: int
    position: int
    occurred_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Fallen:
    """An account that fell and is not armed again."""

    account_id: str
    partition: int
    incarnation: int
    position: int
    occurred_at: datetime
    state: str
    below_since: datetime | None
    look_at: datetime
    not_before: datetime | None
    room: int | None
    room_until: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is asked of the ledger: `credits` nanos for `price` minor units of `currency`."""

    attempt_id: str
    account_id: str
    credits: int
    currency: str
    price: int
    trigger: str
    deadline: datetime


async def save_fall(connection: Connection, fall: Fall, now: datetime) -> None:
    """Watch an account from its newest fall on, in the transaction that stores the position."""
    await connection.execute(
        SAVE_FALL,
        fall.account_id,
        fall.partition,
        fall.incarnation,
        fall.position,
        fall.occurred_at,
        now,
        fall.state,
    )


class Store:
    """Reads and writes the schema `recharge`; every method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(self, now: datetime, limit: int) -> list[Fallen]:
        """Accounts whose next look is due, the longest due first."""
        rows = await self._pool.fetch(DUE, now, limit)
        return [Fallen(**dict(row)) for row in rows]

    async def after(self, account_id: str, limit: int) -> list[Fallen]:
        """All accounts in order of their id, a page at a time."""
        rows = await self._pool.fetch(AFTER, account_id, limit)
        return [Fallen(**dict(row)) for row in rows]

    async def next_look(self) -> datetime | None:
        """When the next look is due, None when nothing is watched."""
        moment: datetime | None = await self._pool.fetchval(
            "select min(look_at) from recharge.fallen"
        )
        return moment

    async def plan(self, row: Fallen, reason: str) -> None:
        """Write down the next look and why it is needed, unless the account fell anew meanwhile."""
        await self._pool.execute(
            PLAN_LOOK,
            row.account_id,
            row.incarnation,
            row.position,
            row.look_at,
            reason,
            row.below_since,
            row.not_before,
            row.room,
            row.room_until,
        )

    async def forget(self, row: Fallen) -> None:
        """Stop watching an account, unless it fell anew meanwhile."""
        await self._pool.execute(FORGET, row.account_id, row.incarnation, row.position)

    async def stored_attempt(self, account_id: str) -> Attempt | None:
        """The attempt that was written down and has no answer of the ledger yet."""
        row = await self._pool.fetchrow(STORED_ATTEMPT, account_id)
        return Attempt(**dict(row)) if row else None

    async def save_attempt(self, attempt: Attempt, now: datetime) -> bool:
        """Write an attempt down before it is asked; False when another one has no answer yet."""
        status = await self._pool.execute(
            SAVE_ATTEMPT,
            attempt.attempt_id,
            attempt.account_id,
            attempt.credits,
            attempt.currency,
            attempt.price,
            attempt.trigger,
            now,
            attempt.deadline,
        )
        return bool(status == "INSERT 0 1")

    async def renew(self, attempt_id: str, deadline: datetime) -> None:
        """Write down the deadline with which an attempt is asked again."""
        await self._pool.execute(
            "update recharge.attempts set deadline = $2 where attempt_id = $1", attempt_id, deadline
        )

    async def close_attempt(
        self, attempt_id: str, state: str, code: str | None, now: datetime
    ) -> None:
        """Write down the ledger's final answer: `started` or `refused` with its code."""
        await self._pool.execute(
            "update recharge.attempts set state = $2, code = $3, decided_at = $4"
            " where attempt_id = $1 and state = 'stored'",
            attempt_id,
            state,
            code,
            now,
        )
