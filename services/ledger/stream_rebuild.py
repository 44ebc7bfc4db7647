"""Making a partition's stream anew when it holds a history that the log has lost.

For an operator, from outside: it reads the log (role farebox_auditor) and replaces the stream (NATS
user provision). The event that begins the new incarnation is written by the partition's leader,
which is asked through a mark on the stream: so only the one writer ever writes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import orjson
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from libs.events import subjects
from libs.events.codec import load_event
from libs.runtime.database import Connection
from libs.runtime.positions import Incarnation
from libs.runtime.streams import incarnation_of, is_rebuilt, mark, recreate
from services.ledger.incarnations import incarnations

LOOK_S = 0.2
LAST = """
select position, body from ledger.events where partition = $1 order by position desc limit 1
"""
BODY = "select body from ledger.events where partition = $1 and position = $2"
FIRST_LIFE = "select incarnation from ledger.installation"

Tell = Callable[[str], None]
Keep = Callable[[Incarnation, AsyncIterator[bytes]], Awaitable[int]]
"""Keeps the events that only the stream still has, before it goes; returns how many they were."""


class RebuildError(Exception):
    """The stream cannot be made anew, or need not be; it is as it was."""


class Standing(NamedTuple):
    """A log and its stream beside each other.

    `differs_from` is the first position where the stream is no copy, None when it is one.
    `wanted` is what an earlier, unfinished rebuild asked for.
    """

    log_end: int
    incarnation: int
    stream_end: int | None
    stream_incarnation: int
    differs_from: int | None
    wanted: Incarnation | None

    def next(self, first_position: int | None, number: int | None) -> Incarnation:
        """The incarnation to begin: later than any that log or stream know of."""
        lived = max(self.incarnation, self.stream_incarnation)
        if number is not None and number <= lived:
            raise RebuildError(f"incarnation {number} was lived already: give more than {lived}")
        first = first_position or self.differs_from
        if first is None:
            raise RebuildError(
                "the stream is a copy of the log: nothing is to be rebuilt. If a consumer is "
                "beyond the log, give the position from which it may differ with --from"
            )
        if not 1 <= first <= self.log_end + 1:
            raise RebuildError(f"the log ends at {self.log_end}: it cannot differ from {first} on")
        return Incarnation(number or lived + 1, first)


async def compare(js: JetStreamContext, connection: Connection, partition: int) -> Standing:
    """Compare a partition's log with its stream, byte by byte where they part."""
    row = await connection.fetchrow(LAST, partition)
    lived = await connection.fetchval(FIRST_LIFE)
    end, incarnation = 0, lived
    if row is not None:
        end, incarnation = row["position"], load_event(row["body"])["incarnation"]
    try:
        info = await js.stream_info(subjects.stream(partition))
    except NotFoundError:
        return Standing(end, incarnation, None, 0, None, None)
    state = info.state
    wanted = incarnation_of(info.config) if is_rebuilt(info.config) else None
    if not state.messages:
        differs = end + 1 if state.last_seq > end else None
        return Standing(end, incarnation, state.last_seq, 0, differs, wanted)
    stream = _Stream(js, connection, partition)
    differs = await stream.parting(state.first_seq, state.last_seq, end)
    last = _incarnation(await stream.message(state.last_seq))
    return Standing(end, incarnation, state.last_seq, last, differs, wanted)


class _Stream:
    """One stream beside its log."""

    def __init__(self, js: JetStreamContext, connection: Connection, partition: int) -> None:
        self._js = js
        self._connection = connection
        self._partition = partition

    async def message(self, sequence: int) -> bytes:
        name = subjects.stream(self._partition)
        return (await self._js.get_msg(name, seq=sequence, direct=True)).data or b""

    async def is_copied(self, position: int) -> bool:
        body: bytes | None = await self._connection.fetchval(BODY, self._partition, position)
        return await self.message(position) == body

    async def parting(self, first: int, last: int, log_end: int) -> int | None:
        """The first position at which both differ, by halving: where they part they part for good.

        When they differ wherever they can be compared they may have parted earlier: then at 1.
        """
        common = min(last, log_end)
        if first > common or not await self.is_copied(first):
            return 1
        same, other = first, common + 1
        while same + 1 < other:
            middle = (same + other) // 2
            if await self.is_copied(middle):
                same = middle
            else:
                other = middle
        return other if other <= last else None


def _incarnation(raw: bytes) -> int:
    """The incarnation of an event; 0 for bytes that are no event."""
    try:
        return int(orjson.loads(raw)["incarnation"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0


async def rebuild(
    nc: Client,
    connection: Connection,
    partition: int,
    *,
    keep: Keep,
    tell: Tell,
    first_position: int | None = None,
    number: int | None = None,
    wait_s: float = 60.0,
) -> Incarnation:
    """Begin a new incarnation and replace the stream; repeating an interrupted one finishes it.

    Raises RebuildError, and TimeoutError when no ledger leads the partition for `wait_s` seconds.
    """
    js = nc.jetstream()
    standing = await compare(js, connection, partition)
    wanted = standing.wanted or await _lost(connection, partition, standing, first_position)
    wanted = wanted or standing.next(first_position, number)
    if standing.stream_end is not None:
        kept = await keep(wanted, _messages(js, partition, wanted.first_position, standing))
        tell(f"{kept} events of the stream were kept: the log may not have them")
    if standing.stream_end is not None and standing.differs_from is not None:
        # The log first: should this be interrupted, the stream still says where both part.
        await mark(nc, partition, wanted)
        await _begun(connection, partition, wanted, tell, wait_s)
        await recreate(nc, partition, wanted)
    else:
        await recreate(nc, partition, wanted)
        await _begun(connection, partition, wanted, tell, wait_s)
    return wanted


async def _lost(
    connection: Connection, partition: int, standing: Standing, first_position: int | None
) -> Incarnation | None:
    """The incarnation whose stream is missing: an earlier rebuild ended between two steps."""
    if standing.stream_end is not None or first_position is not None:
        return None
    first = await connection.fetchval(FIRST_LIFE)
    lives = await incarnations(connection, partition, first, standing.incarnation)
    if not lives:
        raise RebuildError("the stream is missing: `farebox provision` makes it, the log fills it")
    return lives[-1]


async def _messages(
    js: JetStreamContext, partition: int, first: int, standing: Standing
) -> AsyncIterator[bytes]:
    """What the stream holds from a position on."""
    name, end = subjects.stream(partition), standing.stream_end or 0
    state = (await js.stream_info(name)).state
    if not state.messages:
        return
    for sequence in range(max(first, state.first_seq), end + 1):
        yield (await js.get_msg(name, seq=sequence, direct=True)).data or b""


async def _begun(
    connection: Connection, partition: int, wanted: Incarnation, tell: Tell, wait_s: float
) -> None:
    """Wait until the leader has written the first event of the incarnation."""
    tell(f"waiting for the leader of partition {partition} to begin incarnation {wanted.number}")
    async with asyncio.timeout(wait_s):
        while True:
            row = await connection.fetchrow(LAST, partition)
            if row is not None and load_event(row["body"])["incarnation"] >= wanted.number:
                return
            await asyncio.sleep(LOOK_S)
