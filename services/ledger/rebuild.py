"""Has a projection made anew while everything runs: empties it, and the reader fills it again.

As role farebox_reader. No lock of the readers is needed: whoever follows a partition writes its
position with its effects and only from where it left it, so what was under way is undone, and the
reader goes on from the position it finds.
"""

import asyncio
from typing import NamedTuple

import asyncpg

from libs.runtime.database import Connection
from services.ledger.projections.projector import NAMES

TRIES = 3
PAUSE_S = 0.3

# Everyone who asks a question would wait behind us for as long as we wait.
PATIENCE = "set local lock_timeout = '1s'"
# First the table, as the projector does: taken the other way round they would wait for each other.
EMPTY = "truncate ledger.{table}"
SET_BACK = "update ledger.projection_positions set position = 0 where projection = $1"
HOLDERS = """
select distinct l.pid, a.usename from pg_locks l join pg_stat_activity a using (pid)
where l.relation = $1::text::regclass and l.granted and l.pid <> pg_backend_pid()
"""
STANDING = """
select coalesce(sum(p.position), 0)::bigint, coalesce(sum(e.position), 0)::bigint
from ledger.installation i
cross join generate_series(0, i.partitions - 1) as n
left join ledger.projection_positions p on p.projection = $1 and p.partition = n
left join lateral (
  select position from ledger.events where partition = n order by position desc limit 1) e on true
"""


class InUseError(RuntimeError):
    """Somebody reads the table in a long transaction, as an audit does."""


class Standing(NamedTuple):
    """How many events a projection has seen, and how many there are, over all partitions."""

    seen: int
    events: int


async def empty(connection: Connection, name: str) -> None:
    """Empty a projection of every partition. Raises InUseError, ValueError for another name."""
    if name not in NAMES:
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE_S)
        try:
            async with connection.transaction():
                await connection.execute(PATIENCE)
                await connection.execute(EMPTY.format(table=name))
                await connection.execute(SET_BACK, name)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            continue
        return
    holders = await connection.fetch(HOLDERS, f"ledger.{name}")
    who = ", ".join(f"{row['usename'] or 'somebody'} (pid {row['pid']})" for row in holders)
    raise InUseError(f"ledger.{name} is being read by {who or 'somebody'}")


async def standing(connection: Connection, name: str) -> Standing:
    """How far a projection has come."""
    row = await connection.fetchrow(STANDING, name)
    assert row is not None, "sums always have a row"
    return Standing(*row)
