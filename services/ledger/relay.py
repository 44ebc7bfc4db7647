"""Postgres → JetStream: a copy of the log whose stream sequence is the position.

The events table is the outbox and the stream's last sequence is the checkpoint, so nothing else
is stored: whatever the stream lost, or never got, is published again from there.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
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
from services.ledger.batch import Published

log = logging.getLogger(__name__)

BATCH = 1000
FRESH = 20_000
"""Events kept in memory for the relay; what is older is read from the table."""

relayed = counter("ledger_relayed_total", "Events published to the stream")

READ = """
select position, type, body from ledger.events
where partition = $1 and position > $2 order by position limit $3
"""

Connect = Callable[[], Coroutine[Any, Any, "asyncpg.Connection[Any]"]]


class StreamAhead(Exception):
    """The stream holds what the log does not: publishing on would hide that."""


class Relay:
    """Publishes one partition's events in order; at most one atomic batch is in flight."""

    def __init__(
        self, partition: int, nc: Client, connect: Connect, *, poll_s: float, pace_s: float
    ) -> None:
        self.partition = partition
        self.problem: str | None = "the relay has not reached the stream yet"
        self.last = 0
        self._nc = nc
        self._connect = connect
        self._poll_s = poll_s
        self._pace_s = pace_s
        self._fresh: deque[Published] = deque(maxlen=FRESH)
        self._wake = asyncio.Event()
        self._log_end = 0
        gauge(
            "ledger_relay_lag",
            "Events not yet in the stream",
            read=self._lag,
            partition=str(partition),
        )

    def _lag(self) -> int:
        return max(0, self._log_end - self.last)

    def committed(self, events: list[Published]) -> None:
        """Called by the writer after each append: never blocks, never fails."""
        self._fresh.extend(events)
        self._log_end = events[-1].position
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
                    log.critical("relay %d publishes nothing: %s", self.partition, error)
                    await asyncio.sleep(self._poll_s * 5)
        finally:
            self._fresh.clear()
            self._log_end = 0  # who leads now tells how far the stream is behind
            await connection.close()

    async def _follow(self, connection: "asyncpg.Connection[Any]") -> None:
        self.last = await self._stream_end(connection)
        self.problem = None
        while True:
            events = await self._next(connection)
            if not events:
                await self._sleep()
                continue
            messages = [(subjects.event(self.partition, e.type), e.body) for e in events]
            try:
                ack = await publish_atomic(self._nc, messages, self.last)
            except (WrongLastSequence, PublishUnknown):
                self.last = await self._stream_end(connection)
                continue
            if ack != events[-1].position:
                raise AssertionError(f"stream sequence {ack} is not position {events[-1].position}")
            self.last = ack
            relayed.inc(len(events))
            if len(events) < BATCH:
                # A batch costs the server a millisecond whatever is in it: let the next one fill.
                await asyncio.sleep(self._pace_s)

    async def _sleep(self) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):  # wait_for may lose a cancellation
                await self._wake.wait()

    async def _next(self, connection: "asyncpg.Connection[Any]") -> list[Published]:
        """The next events after `last`: from memory when they are fresh, else from the table."""
        while self._fresh and self._fresh[0].position <= self.last:
            self._fresh.popleft()
        if self._fresh and self._fresh[0].position == self.last + 1:
            return list(islice(self._fresh, BATCH))
        rows = await connection.fetch(READ, self.partition, self.last, BATCH)
        return [Published(row["position"], TYPE_NAMES[row["type"]], row["body"]) for row in rows]

    async def _stream_end(self, connection: "asyncpg.Connection[Any]") -> int:
        """The stream's last sequence, after checking that it is a copy of this log."""
        name = subjects.stream(self.partition)
        js = self._nc.jetstream()
        last = (await js.stream_info(name)).state.last_seq
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
