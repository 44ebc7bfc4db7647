"""One term of leading a partition: the writer, and what runs only beside it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import asyncpg
import nats.errors
from nats.aio.client import Client

from libs.events import subjects
from libs.runtime.clock import Clock
from libs.runtime.database import connect
from libs.runtime.joined import publish_along, publish_joined
from libs.runtime.metrics import gauge
from libs.runtime.positions import Incarnation
from libs.runtime.quarantine import quarantine
from libs.runtime.supervision import Lifecycle
from services.ledger.columns import EventRow
from services.ledger.command_queue import CommandQueue
from services.ledger.expiry import Expiry, GrantExpiry
from services.ledger.intake import Intake
from services.ledger.relay import Relay
from services.ledger.settings import LedgerSettings
from services.ledger.standby import answer_pings
from services.ledger.store import Store
from services.ledger.working_set import WorkingSet
from services.ledger.writer import CannotWrite, Writer

log = logging.getLogger(__name__)

LAST_WORDS_S = 2.0
"""How long a term that failed may take to leave NATS."""


class Installation(NamedTuple):
    """What ledger.installation says: fixed when Farebox was installed."""

    partitions: int
    incarnation: int


class Ground(NamedTuple):
    """What every term of a partition in this process stands on."""

    partition: int
    installation: Installation
    settings: LedgerSettings
    nc: Client
    clock: Clock
    lifecycle: Lifecycle


class Term:
    """Leads from the moment the lock is held until the process stops or a rival is given way."""

    def __init__(self, ground: Ground, store: Store, *, gives_way: bool) -> None:
        self.ground = ground
        self.ending = asyncio.Event()
        self._gives_way = gives_way
        settings, partition = ground.settings, ground.partition
        self._queue = CommandQueue(settings.batch_ceiling, ground.clock.monotonic)
        self._working = WorkingSet(settings.accounts_in_memory, settings.commands_in_memory)
        self.writer = Writer(
            store, self._working, self._queue, ground.clock,
            incarnation=ground.installation.incarnation,
            reply=self._reply, committed=self._committed,
        )  # fmt: skip
        self.relay = Relay(
            partition, ground.nc, self._connecting("relay"),
            poll_s=settings.relay_poll_s, pace_s=settings.relay_pace_s, want=self._lives,
        )  # fmt: skip
        self._grants = GrantExpiry(self.writer, self._queue, settings, self._connecting("expiry"))
        self._intake = Intake(
            partition, ground.installation.partitions, self._queue, settings,
            incarnation=ground.installation.incarnation,
            reply=lambda subject, raw: self._reply([(subject, raw)], self.writer.now().text),
            quarantine=self._quarantine,
        )  # fmt: skip
        gauge(
            "ledger_queued",
            "Commands that wait for the writer",
            read=self._queue.__len__,
            partition=str(partition),
        )

    async def run(self, *, began: Callable[[], None]) -> None:
        """Lead; returns when everything queued was answered and nothing is taken any more.

        Raises CannotWrite after answering Busy to what waits, and NotLeading as the writer does.
        """
        async with self._answering_pings():
            await self.writer.store.prepare()
            await self.writer.take_over()
            self._intake.incarnation = self.writer.incarnation
            self._expiry = Expiry(self.writer, self._queue, self.ground.settings)
            drained = asyncio.Event()
            await self._intake.open(self.ground.nc)
            began()
            log.info(
                "leading partition %d from position %d",
                self.ground.partition, self.writer.position,
            )  # fmt: skip
            async with self._beside(drained):
                try:
                    await self.writer.run(drained)
                except CannotWrite:
                    await self._leave()
                    await self.writer.refuse_waiting()
                    raise
                await self.ground.nc.flush()

    @contextlib.asynccontextmanager
    async def _answering_pings(self) -> AsyncIterator[None]:
        """From before the log is read: reading it may take longer than a standby's patience."""
        pings = await answer_pings(self.ground.nc, self.ground.partition, self._asked)
        try:
            yield
        finally:
            with contextlib.suppress(nats.errors.Error):
                await pings.unsubscribe()

    def _asked(self) -> None:
        """A process that prefers this partition is ready to lead it."""
        if self._gives_way:
            self.ending.set()

    @contextlib.asynccontextmanager
    async def _beside(self, drained: asyncio.Event) -> AsyncIterator[None]:
        spawn, partition = self.ground.lifecycle.spawn, self.ground.partition
        beside = [
            spawn(self.relay.run(), f"relay-{partition}"),
            spawn(self._expiry.run(), f"expiry-{partition}"),
            spawn(self._grants.run(), f"grant-expiry-{partition}"),
            spawn(self._stopping(), f"stopping-{partition}"),
            spawn(self._drain(drained), f"drain-{partition}"),
        ]
        try:
            yield
        finally:
            await self._leave()
            await self.ground.lifecycle.end(beside)

    def _lives(self, wanted: Incarnation) -> bool:
        """Whether the log lives an incarnation that its stream was made for; else it begins."""
        if self.writer.incarnation >= wanted.number:
            self._intake.incarnation = self.writer.incarnation
            return True
        self.writer.want(wanted)
        return False

    async def _leave(self) -> None:
        """Take no more: whoever asks next must not wait for an answer that nobody gives."""
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._intake.close()

    async def _stopping(self) -> None:
        await self.ground.lifecycle.stopping.wait()
        self.ending.set()

    async def _drain(self, drained: asyncio.Event) -> None:
        await self.ending.wait()
        await self._leave()
        drained.set()
        self._queue.wake()

    def _connecting(
        self, purpose: str
    ) -> Callable[[], Coroutine[Any, Any, "asyncpg.Connection[Any]"]]:
        name = f"farebox-{purpose}-{self.ground.partition}"

        async def opened() -> "asyncpg.Connection[Any]":
            return await connect(self.ground.settings, application_name=name)

        return opened

    async def _reply(self, replies: Sequence[tuple[str, bytes]], ledger_now: str) -> None:
        # A reply that cannot be sent is lost like one on the wire: its caller asks again.
        with contextlib.suppress(nats.errors.Error):
            await publish_joined(self.ground.nc, replies, {subjects.LEDGER_NOW_HEADER: ledger_now})
        # The loop writes to its sockets at the end of a turn: deciding on without one would keep
        # every caller of this batch waiting meanwhile.
        await asyncio.sleep(0)

    async def _committed(self, events: list[EventRow]) -> None:
        self.relay.committed(events)
        # A hint that spares the reader its poll interval; it leaves with the replies, and losing
        # one, or sending it later, costs nothing else.
        with contextlib.suppress(nats.errors.Error):
            await publish_along(self.ground.nc, subjects.committed(self.ground.partition))

    async def _quarantine(self, raw: bytes, error: str) -> None:
        with contextlib.suppress(nats.errors.Error):
            await quarantine(self.ground.nc, "ledger", self.ground.partition, None, raw, error)
