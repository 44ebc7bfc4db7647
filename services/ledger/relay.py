"""Postgres → JetStream: a copy of the log whose stream sequence is the position.

The events table is the outbox and the stream's last sequence is the checkpoint, so nothing else
is stored: whatever the stream lost, or never got, is published again from there.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

import asyncpg
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from libs.events import subjects
from libs.events.events import TYPE_NAMES
from libs.runtime.atomic_publish import PublishUnknown, WrongLastSequence, publish_atomic
from libs.runtime.metrics import counter, gauge
from libs.runtime.positions import Incarnation
from libs.runtime.streams import incarnation_of
from services.ledger.columns import EventRow

log = logging.getLogger(__name__)

BATCH = 1000
FRESH = 20_000
"""Events kept in memory for the relay; what is older is read from the table."""

POSITION, TYPE, BODY = 0, 3, 4
"""Where they stand in an EventRow."""

relayed = counter("ledger_relayed_total", "Events published to the stream")

READ = """
select position, account_id, version, type, body from ledger.events
where partition = $1 and position > $2 order by position limit $3
"""

Connect = Callable[[], Coroutine[Any, Any, "asyncpg.Connection[Any]"]]


Want = Callable[[Incarnation], bool]
"""Whether the log lives this incarnation, or a later one; if not, it is asked to begin it."""


class StreamAhead(Exception):
    """The stream holds what the log does not: publishing on would hide that."""


class NotBegun(Exception):
    """An operator rebuilds the stream for an incarnation that the log has yet to begin."""


class Relay:
    """Publishes one partition's events in order; at most one atomic batch is in flight."""

    def __init__(
        self,
        partition: int,
        nc: Client,
        connect: Connect,
        *,
        poll_s: float,
        pace_s: float,
        want: Want = lambda _: True,
    ) -> None:
        self.partition = partition
        self.problem: str | None = "the relay has not reached the stream yet"
        self.last = 0
        self._nc = nc
        self._connect = connect
        self._poll_s = poll_s
        self._pace_s = pace_s
        self._fresh: deque[EventRow] = deque(maxlen=FRESH)
        self._subjects = {
            code: subjects.event(partition, name) for code, name in TYPE_NAMES.items()
        }
        self._want = want
        self._ahead = False
        self._wake = asyncio.Event()
        self._log_end = 0
        gauge(
            "ledger_relay_lag",
            "Events not yet in the stream",
            read=self._lag,
            partition=str(partition),
        )
        gauge(
            "ledger_stream_ahead",
            "1 while the stream holds what the log does not",
            read=lambda: int(self._ahead),
            partition=str(partition),
        )

    def _lag(self) -> int:
        return max(0, self._log_end - self.last)

    def committed(self, events: Sequence[EventRow]) -> None:
        """Called by the writer after each append: never blocks, never fails."""
        self._fresh.extend(events)
        self._log_end = events[-1][POSITION]
        self._wake.set()

    async def run(self) -> None:
        """Relay for ever; trouble with the stream is waited out, StreamAhead stops publishing."""
        connection = await self._connect()
        try:
            while True:
                try:
                    await self._follow(connection)
                except (nats.errors.Error, nats.js.errors.Error, PublishUnknown) as error:
                    self.problem = (
                        f"cannot reach stream {subjects.stream(self.partition)}: {error!r}"
                    )
                    log.warning("relay %d: %s", self.partition, self.problem)
                    await asyncio.sleep(self._poll_s)
                except StreamAhead as error:
                    self.problem = f"stream_ahead: {error}"
                    self._ahead = True
                    log.critical("relay %d publishes nothing: %s", self.partition, error)
                    await asyncio.sleep(self._poll_s * 5)
                except NotBegun as error:
                    self.problem = str(error)
                    await asyncio.sleep(self._poll_s)
        finally:
            self._fresh.clear()
            self._log_end = 0  # who leads now tells how far the stream is behind
            await connection.close()

    async def _follow(self, connection: "asyncpg.Connection[Any]") -> None:
        self.last = await self._stream_end(connection)
        self.problem, self._ahead = None, False
        while True:
            events = await self._next(connection)
            if not events:
                if not await self._woken():
                    # Nobody publishes now: a stream that was made anew would not be noticed.
                    self.last = await self._stream_end(connection)
                else:
                    await asyncio.sleep(self._pace_s)  # let others come with it
                continue
            messages = [(self._subjects[event[TYPE]], event[BODY]) for event in events]
            try:
                ack = await publish_atomic(self._nc, messages, self.last)
            except (WrongLastSequence, PublishUnknown):
                self.last = await self._stream_end(connection)
                continue
            if ack != (position := events[-1][POSITION]):
                raise AssertionError(f"stream sequence {ack} is not position {position}")
            self.last = ack
            relayed.inc(len(events))
            if len(events) < BATCH:
                await asyncio.sleep(self._pace_s)

    async def _woken(self) -> bool:
        """Wait until something is committed; False when nothing was for a while."""
        self._wake.clear()
        try:
            async with asyncio.timeout(self._poll_s):  # wait_for may lose a cancellation
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _next(self, connection: "asyncpg.Connection[Any]") -> Sequence[EventRow]:
        """The next events after `last`: from memory when they are fresh, else from the table."""
        while self._fresh and self._fresh[0][POSITION] <= self.last:
            self._fresh.popleft()
        if self._fresh and self._fresh[0][POSITION] == self.last + 1:
            return list(islice(self._fresh, BATCH))
        return [
            tuple(row) for row in await connection.fetch(READ, self.partition, self.last, BATCH)
        ]

    async def _stream_end(self, connection: "asyncpg.Connection[Any]") -> int:
        """The stream's last sequence, after checking that it is a copy of this log."""
        name = subjects.stream(self.partition)
        js = self._nc.jetstream()
        info = await js.stream_info(name)
        wanted = incarnation_of(info.config)
        if wanted is not None and not self._want(wanted):
            raise NotBegun(f"{name} is rebuilt: incarnation {wanted.number} has yet to begin")
        last = info.state.last_seq
        if last == 0:
            return 0
        body = await connection.fetchval(
            "select body from ledger.events where partition = $1 and position = $2",
            self.partition,
            last,
        )
        if body is None:
            raise StreamAhead(f"{name} ends at {last}, which the log does not have")
        try:
            message = await js.get_msg(name, seq=last, direct=True)
        except nats.js.errors.NotFoundError:
            return last  # aged out or purged; the sequence alone is the checkpoint
        if message.data != body:
            raise StreamAhead(f"{name} has other bytes than the log at {last}")
        return last
