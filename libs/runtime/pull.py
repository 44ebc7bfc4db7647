"""Following a partition's events in order: each is applied once, none is skipped.

The stored position is the truth, the durable consumer only follows it: every start, failure and
reconnection begins with a reset to stored + 1. Nothing is ever nak'd, since one nak breaks order.
"""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from libs.events import subjects
from libs.events.codec import Malformed, decode_event
from libs.events.upcasters import NEWEST
from libs.runtime import metrics
from libs.runtime.database import Connection
from libs.runtime.errors import PullFailure
from libs.runtime.gap import FetchGap, FetchIncarnations
from libs.runtime.positions import Place, Positions
from libs.runtime.quarantine import quarantine
from libs.runtime.streams import is_rebuilt

log = logging.getLogger(__name__)

BATCH = 256
FETCH_S = 2.0
STANDBY_S = 0.5
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

Apply = Callable[[Connection, dict[str, Any]], Awaitable[None]]
"""The effect of one event, inside the transaction that also stores its position."""


class LedgerPull:
    """One durable consumer of one partition; of all processes, the holder of its lock follows.

    Args:
        nc: the service's connection, as the NATS user named like the durable.
        durable: name of the consumer and of the service in QUARANTINE.
        partition: whose events.
        types: event types to apply; others only move the position on.
        schema: where the table ``positions`` is.
        connect: opens the dedicated connection that holds the lock and stores every effect, so
            that losing one is losing the other.
        apply: the effect of one event.
        fetch_gap: reads events that the stream has already dropped.
        fetch_incarnations: asks how often the log's history was restored.
    """

    def __init__(
        self,
        nc: Client,
        *,
        durable: str,
        partition: int,
        types: Collection[str],
        schema: str,
        connect: Callable[[], Awaitable[Connection]],
        apply: Apply,
        fetch_gap: FetchGap,
        fetch_incarnations: FetchIncarnations,
    ) -> None:
        self._nc = nc
        self._js: JetStreamContext = nc.jetstream()
        self._durable = durable
        self._partition = partition
        self._stream = subjects.stream(partition)
        self._types = frozenset(types)
        self._positions = Positions(schema)
        self._connect = connect
        self._apply = apply
        self._fetch_gap = fetch_gap
        self._fetch_incarnations = fetch_incarnations
        self._place = Place()
        self._stored = Place()
        self._failures = 0
        self._problem: str | None = None
        self.following = False
        """Whether this process holds the lock; another one does otherwise."""
        where = str(partition)
        self._applied = metrics.counter(
            "pull_applied_total", "Events applied.", durable=durable, partition=where
        )
        self._failed = metrics.counter(
            "pull_failures_total", "Restarts after failures.", durable=durable, partition=where
        )
        self._lag = metrics.gauge(
            "pull_lag", "Events not yet delivered.", durable=durable, partition=where
        )

    @property
    def position(self) -> int:
        """The position up to which events were followed."""
        return self._place.position

    def problem(self) -> str | None:
        """Return why it cannot go on, for readiness; None while it follows or stands by."""
        return self._problem

    async def run(self) -> None:
        """Follow until cancelled; failures are waited out and tried again from stored + 1."""
        while True:
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001 - whatever fails, nothing may be skipped
                self._note(error)
            await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S))

    def _note(self, error: Exception) -> None:
        self._failures = min(self._failures + 1, 16)
        self._failed.inc()
        self._problem = f"at position {self.position}: {error!r}"
        log.warning("%s of %s %s", self._durable, self._stream, self._problem, exc_info=error)

    def _progressed(self) -> None:
        self._failures = 0
        self._problem = None

    async def _session(self) -> None:
        """Hold the lock and follow until something fails."""
        connection = await self._connect()
        try:
            await self._take_lock(connection)
            self.following = True
            self._place = self._stored = await self._positions.read(connection, self._partition)
            await self._follow(connection)
        finally:
            self.following = False
            # Closing gives the lock back; a connection that does not close in time is cut.
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    async def _take_lock(self, connection: Connection) -> None:
        """Stand by until no other process follows. Never block in the lock: that pins xmin."""
        key = zlib.crc32(f"pull:{self._durable}".encode()) & 0x7FFF_FFFF
        take = "select pg_try_advisory_lock($1, $2)"
        while not await connection.fetchval(take, key, self._partition):
            self._progressed()
            await asyncio.sleep(STANDBY_S)

    async def _follow(self, connection: Connection) -> None:
        await self._check_history(connection)
        await self._check_place(connection)
        await self._js.reset_consumer(self._stream, self._durable, seq=self.position + 1)
        # A new inbox each time: what an earlier fetch still brings goes nowhere.
        subscription = await self._js.pull_subscribe_bind(self._durable, self._stream)
        try:
            reconnects, delivered = self._nc.stats["reconnects"], 0
            while True:
                messages = await _fetch(subscription)
                if self._nc.stats["reconnects"] != reconnects or connection.is_closed():
                    raise PullFailure("a connection broke")
                self._progressed()
                if messages:
                    await self._deliver(connection, messages, delivered)
                    delivered += len(messages)
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()

    async def _check_history(self, connection: Connection) -> None:
        """Go back to where a restored log may differ from what was followed.

        Else events that took the positions of lost ones would be passed over.
        """
        lives = await self._fetch_incarnations()
        place = self._place.within(lives)
        if place.incarnation > max((life.number for life in lives), default=1):
            raise PullFailure(
                f"incarnation {place.incarnation} was followed, which the log has lost: run "
                f"`farebox admin stream rebuild {self._partition}`"
            )
        if place.position < self._place.position:
            log.warning("%s of %s goes back from %s to %s: the log was restored",
                        self._durable, self._stream, self._place, place)  # fmt: skip
        self._place = place
        await self._store(connection)

    async def _check_place(self, connection: Connection) -> None:
        """Refuse a place beyond the stream's end; read from the ledger what lies before its start.

        A reset beyond the end would be accepted and wait in silence until the log is that long.
        """
        info = await self._js.stream_info(self._stream)
        if is_rebuilt(info.config):
            raise PullFailure(f"{self._stream} is about to be made anew from the log")
        state = info.state
        if self.position > state.last_seq:
            raise PullFailure(f"{self._stream} ends at {state.last_seq}, before this position")
        while self.position + 1 < state.first_seq:
            first = self.position + 1
            events = await self._fetch_gap(first, state.first_seq - 1)
            if not events or [n for n, _ in events] != list(range(first, first + len(events))):
                raise PullFailure(f"the ledger does not give the events from {first} on")
            for position, raw in events:
                await self._handle(connection, position, raw)
            await self._store(connection)

    async def _deliver(self, connection: Connection, messages: list[Msg], delivered: int) -> None:
        """Apply a fetch in order. A missing delivery is a gap, whatever the filter left out."""
        for number, message in enumerate(messages, delivered + 1):
            metadata = message.metadata
            if metadata.sequence.consumer != number:
                raise PullFailure(f"delivery {number} came as {metadata.sequence.consumer}")
            if metadata.sequence.stream > self.position:
                await self._handle(connection, metadata.sequence.stream, message.data)
        await self._store(connection)
        self._lag.set(messages[-1].metadata.num_pending)
        await messages[-1].ack()  # the durable acknowledges all before it, too

    async def _handle(self, connection: Connection, position: int, raw: bytes) -> None:
        body = decode_event(raw)
        if isinstance(body, Malformed):
            await quarantine(self._nc, self._durable, self._partition, position, raw, body.error)
            self._place = Place(self._place.incarnation, position)
            await self._store(connection)
            return
        if (body["partition"], body["position"]) != (self._partition, position):
            raise PullFailure(f"sequence {position} holds position {body['position']}")
        incarnation = self._place.incarnation
        if body["incarnation"] > incarnation:
            # Whether we followed what it took back is for a new session to find out.
            raise PullFailure(f"incarnation {body['incarnation']} begins before {position}")
        # Until the rebuild a restored log goes on under its old number, at positions that the lost
        # history had used under it too: effects are keyed by the number that is followed.
        body["incarnation"] = incarnation
        place = Place(incarnation, position)
        if body["type"] in self._types:
            # decode_event has brought older versions forward.
            if body["type_version"] != NEWEST.get(body["type"], 1):
                raise PullFailure(f"unknown version {body['type_version']} of {body['type']}")
            async with connection.transaction():
                await self._apply(connection, body)
                await self._positions.write(connection, self._partition, place)
            self._stored = place
            self._applied.inc()
        self._place = place
        self._progressed()

    async def _store(self, connection: Connection) -> None:
        """Store a place that was reached without an effect."""
        if self._stored != self._place:
            await self._positions.write(connection, self._partition, self._place)
            self._stored = self._place


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(BATCH, timeout=FETCH_S)
    except TimeoutError:
        return []
