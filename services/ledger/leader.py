"""Leading one partition: the lock, the writer, and what runs only beside it."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import nats.errors
from nats.aio.client import Client

from libs.events import subjects
from libs.runtime.clock import Clock
from libs.runtime.database import connect
from libs.runtime.joined import publish_joined
from libs.runtime.positions import Incarnation
from libs.runtime.quarantine import quarantine
from libs.runtime.supervision import Lifecycle
from services.ledger.columns import EventRow
from services.ledger.command_queue import CommandQueue
from services.ledger.expiry import Expiry, GrantExpiry
from services.ledger.intake import Intake
from services.ledger.relay import Relay
from services.ledger.settings import LedgerSettings
from services.ledger.standby import Standby, answer_pings
from services.ledger.store import Store
from services.ledger.working_set import WorkingSet
from services.ledger.writer import Writer

log = logging.getLogger(__name__)


class Installation(NamedTuple):
    """What ledger.installation says: fixed when Farebox was installed."""

    partitions: int
    incarnation: int


class Leader:
    """Waits for the partition's lock, then leads until the process stops.

    The lock lives on the connection that runs every append: losing the one is losing the other,
    and then this process ends, because what it last sent may or may not have been committed.
    """

    def __init__(
        self,
        partition: int,
        installation: Installation,
        settings: LedgerSettings,
        nc: Client,
        clock: Clock,
        lifecycle: Lifecycle,
    ) -> None:
        self.partition = partition
        self.installation = installation
        self.settings = settings
        self.nc = nc
        self.clock = clock
        self.lifecycle = lifecycle
        self.role = "starting"
        self.relay = Relay(
            partition, nc, self._reading,
            poll_s=settings.relay_poll_s, pace_s=settings.relay_pace_s, want=self._lives,
        )  # fmt: skip
        self._closing = False

    def problem(self) -> str | None:
        """Why this partition is not in order here, None when it leads or stands by."""
        if self.role == "starting":
            return "starting"
        if self.role == "leading" and self.relay.problem:
            return self.relay.problem
        return None

    async def run(self) -> None:
        connection = await self._connect()
        connection.add_termination_listener(self._lost)
        store = Store(connection, self.partition)
        try:
            if await self._locked(store):
                await self._lead(store)
        finally:
            self._closing = True
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=2)

    async def _connect(self) -> "asyncpg.Connection[Any]":
        return await connect(self.settings, application_name=f"farebox-ledger-{self.partition}")

    async def _reading(self) -> "asyncpg.Connection[Any]":
        return await connect(self.settings, application_name=f"farebox-relay-{self.partition}")

    async def _looking(self) -> "asyncpg.Connection[Any]":
        return await connect(self.settings, application_name=f"farebox-expiry-{self.partition}")

    def _lost(self, _connection: object) -> None:
        if not self._closing:
            self.lifecycle.die(f"partition {self.partition}: its database connection was lost")

    async def _locked(self, store: Store) -> bool:
        if await store.try_lock():
            return True
        self.role = "standby"
        standby = Standby(self.partition, store, self.nc, self.clock, self.settings)
        return await standby.wait(self.lifecycle.stopping)

    async def _lead(self, store: Store) -> None:
        settings = self.settings
        await store.prepare()
        working = WorkingSet(settings.accounts_in_memory, settings.commands_in_memory)
        queue = CommandQueue(settings.batch_ceiling, self.clock.monotonic)
        writer = Writer(
            store, working, queue, self.clock,
            incarnation=self.installation.incarnation,
            reply=self._reply, committed=self._committed,
        )  # fmt: skip
        await writer.take_over()
        self._writer = writer
        expiry = Expiry(writer, queue, settings)
        grants = GrantExpiry(writer, queue, settings, self._looking)
        self._intake = intake = Intake(
            self.partition, self.installation.partitions, queue, settings,
            incarnation=writer.incarnation,
            reply=lambda subject, raw: self._reply([(subject, raw)], writer.now().text),
            quarantine=self._quarantine,
        )  # fmt: skip
        drained = asyncio.Event()
        pings = await answer_pings(self.nc, self.partition)
        await intake.open(self.nc)
        self.role = "leading"
        log.info("leading partition %d from position %d", self.partition, writer.position)
        spawn = self.lifecycle.spawn
        beside = [
            spawn(self.relay.run(), f"relay-{self.partition}"),
            spawn(expiry.run(), f"expiry-{self.partition}"),
            spawn(grants.run(), f"grant-expiry-{self.partition}"),
            spawn(self._drain(intake, queue, drained), f"drain-{self.partition}"),
        ]
        try:
            await writer.run(drained)
            await self.nc.flush()
        finally:
            with contextlib.suppress(nats.errors.Error):
                await pings.unsubscribe()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _lives(self, wanted: Incarnation) -> bool:
        """Whether the log lives an incarnation that its stream was made for; else it begins."""
        if self._writer.incarnation >= wanted.number:
            self._intake.incarnation = self._writer.incarnation
            return True
        self._writer.want(wanted)
        return False

    async def _drain(self, intake: Intake, queue: CommandQueue, drained: asyncio.Event) -> None:
        await self.lifecycle.stopping.wait()
        await intake.close()
        drained.set()
        queue.wake()

    async def _reply(self, replies: Sequence[tuple[str, bytes]], ledger_now: str) -> None:
        # A reply that cannot be sent is lost like one on the wire: its caller asks again.
        with contextlib.suppress(nats.errors.Error):
            await publish_joined(self.nc, replies, {"Farebox-Ledger-Now": ledger_now})

    async def _committed(self, events: list[EventRow]) -> None:
        self.relay.committed(events)
        # A hint that spares the reader its poll interval; losing one costs nothing else.
        with contextlib.suppress(nats.errors.Error):
            await self.nc.publish(subjects.committed(self.partition), b"")

    async def _quarantine(self, raw: bytes, error: str) -> None:
        with contextlib.suppress(nats.errors.Error):
            await quarantine(self.nc, "ledger", self.partition, None, raw, error)
