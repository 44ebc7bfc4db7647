"""The log as it was: a balance as of any position or time, and the events that one asks for.

Reads `ledger.events` alone (role farebox_auditor), each question in one snapshot.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson

from libs.events.ids import is_id, partition_of, stream_uuid
from libs.events.times import to_text
from libs.runtime.database import Connection
from services.ledger.checks.log import LogCheck
from services.ledger.checks.reading import LOG_END, installed_partitions
from services.ledger.checks.report import Difference, Differences
from services.ledger.checks.tables import rows_of
from services.ledger.replay_state import Account, Hold

CHUNK = 500

STREAM = """
select position, account_id, version, type, body, hash from ledger.events
where partition = $1 and account_id = $2 and position <= $3 order by position
"""
AT_OR_AFTER = """
select position, body from ledger.events
where partition = $1 and position >= $2 order by position limit 1
"""
FILTERED = """
select position, body from ledger.events
where partition = $1 and position between $2 and $3
  and ($4::uuid is null or account_id = $4) and ($5::smallint[] is null or type = any($5))
order by position
"""


class HistoryError(Exception):
    """The log cannot answer this: there is no such account or position, or it is damaged."""


class Standing(NamedTuple):
    """Where an account stood after everything up to `position` of its partition. Nanos."""

    account: Account
    holds: dict[str, Hold]
    partition: int
    position: int
    log_end: int
    differences: list[Difference]
    """What is wrong with the account's events: not empty, the standing proves nothing."""


class Wanted(NamedTuple):
    """Which events are asked for, both ends included; what is None does not matter."""

    partition: int | None = None
    account_id: str | None = None
    types: Sequence[int] | None = None
    first: int | datetime = 1
    until: int | datetime | None = None
    limit: int | None = None


class Stored(NamedTuple):
    partition: int
    position: int
    body: bytes


async def standing(
    connection: Connection, account_id: str, at: "int | datetime | None" = None
) -> Standing:
    """Fold the account's own events up to a position of its partition, a time, or the log's end.

    Raises HistoryError when the account had no event by then, or `at` is beyond the log's end.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        partitions = await installed_partitions(connection)
        partition = partition_of(account_id, partitions)
        log_end = await connection.fetchval(LOG_END, partition)
        position = await _position(connection, partition, at, log_end)
        differences = Differences()
        check = LogCheck(partition, partitions, differences)
        stream = stream_uuid(account_id)
        async for row in rows_of(connection, STREAM, partition, stream, position):
            check.position = row["position"] - 1  # those between are of other accounts
            check.check(row)
    account = check.fold.accounts.get(account_id)
    if account is None and not differences.count:
        where = f"position {position:,} of partition {partition}"
        raise HistoryError(f"unknown_account: {account_id} has no event up to {where}")
    return Standing(
        account or Account(account_id, partition),
        check.fold.holds,
        partition,
        position,
        log_end,
        differences.listed,
    )


async def _position(
    connection: Connection, partition: int, at: "int | datetime | None", log_end: int
) -> int:
    if at is None:
        return log_end
    if isinstance(at, datetime):
        return await position_at(connection, partition, at, log_end)
    if at > log_end:
        raise HistoryError(f"partition {partition} ends at position {log_end:,}")
    return at


async def position_at(
    connection: Connection, partition: int, moment: datetime, log_end: int
) -> int:
    """The last position that had been written at a moment, 0 before the first event.

    The time of a partition never runs backwards, so that this is a search by halves.
    Raises HistoryError when it meets an event that cannot be read.
    """
    until, low, high = to_text(moment), 0, log_end
    while low < high:
        middle = (low + high + 1) // 2
        row = await connection.fetchrow(AT_OR_AFTER, partition, middle)
        if row is None:
            raise HistoryError(f"partition {partition} has no event from {middle:,} on")
        if _occurred_at(partition, row["position"], row["body"]) <= until:
            low = int(row["position"])
        else:
            high = middle - 1
    return low


def _occurred_at(partition: int, position: int, body: bytes) -> str:
    try:
        return str(orjson.loads(body)["occurred_at"])
    except (LookupError, TypeError, ValueError) as error:
        raise HistoryError(f"event {partition}:{position} cannot be read: {error}") from error


async def events(connection: Connection, wanted: Wanted) -> AsyncGenerator[list[Stored], None]:
    """The bodies as they are stored, in runs: one partition after the other, each in its order.

    Raises HistoryError for a partition that does not exist, or is not the account's.
    """
    left = wanted.limit
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for partition in _partitions(wanted, await installed_partitions(connection)):
            bounds = await _bounds(connection, partition, wanted)
            stream: UUID | None = stream_uuid(wanted.account_id) if wanted.account_id else None
            cursor = await connection.cursor(FILTERED, partition, *bounds, stream, wanted.types)
            while left != 0:
                rows = await cursor.fetch(CHUNK if left is None else min(CHUNK, left))
                if not rows:
                    break
                left = left if left is None else left - len(rows)
                yield [Stored(partition, *row) for row in rows]


async def _bounds(connection: Connection, partition: int, wanted: Wanted) -> tuple[int, int]:
    """The first and the last position that are asked for of a partition."""
    log_end: int = await connection.fetchval(LOG_END, partition)
    first, last = wanted.first, log_end if wanted.until is None else wanted.until
    if isinstance(first, datetime):
        # Times have microseconds: the first at this time follows the last before it.
        before = first - timedelta(microseconds=1)
        first = 1 + await position_at(connection, partition, before, log_end)
    if isinstance(last, datetime):
        last = await position_at(connection, partition, last, log_end)
    return first, last


def _partitions(wanted: Wanted, partitions: int) -> Sequence[int]:
    named = wanted.partition
    if named is not None and not 0 <= named < partitions:
        raise HistoryError(f"no partition {named}: there are 0 to {partitions - 1}")
    if wanted.account_id is None:
        return range(partitions) if named is None else [named]
    if is_id(wanted.account_id, "acct"):
        own = partition_of(wanted.account_id, partitions)
    else:
        own = int(wanted.account_id.removeprefix("part_"))
    if own >= partitions or named not in {None, own}:
        raise HistoryError(f"{wanted.account_id} is of partition {own}")
    return [own]
