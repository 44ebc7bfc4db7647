"""A partition's place in this process: standing by, leading, and standing by again."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import asyncpg
from nats.aio.client import Client

from libs.runtime.clock import Clock
from libs.runtime.database import connect
from libs.runtime.metrics import counter, gauge
from libs.runtime.supervision import Lifecycle
from services.ledger.settings import LedgerSettings
from services.ledger.standby import Standby
from services.ledger.store import Store
from services.ledger.term import Ground, Installation, Term
from services.ledger.writer import CannotWrite

log = logging.getLogger(__name__)

handed_over = counter(
    "ledger_handed_over_total", "Partitions given to a process that prefers to lead them"
)
stepped_down = counter(
    "ledger_stepped_down_total", "Leaderships given up because the database could not be written"
)


class Leader:
    """Waits for the partition's lock, then leads until the process stops or it must give it up.

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
        self.settings = settings
        self.lifecycle = lifecycle
        self.role = "starting"
        self._ground = Ground(partition, installation, settings, nc, clock, lifecycle)
        self._prefers = partition in settings.preferred
        self._gives_way = bool(settings.preferred) and not self._prefers
        self._trouble: str | None = None
        self._term: Term | None = None
        gauge(
            "ledger_leading",
            "1 where this process leads the partition, 0 where it stands by",
            read=lambda: int(self.role == "leading"),
            partition=str(partition),
        )

    def problem(self) -> str | None:
        """Why this partition is not in order here, None when it leads or stands by."""
        if self.role == "starting":
            return "starting"
        if self.role == "leading" and self._term is not None:
            return self._term.relay.problem
        return self._trouble

    async def run(self) -> None:
        """Until the process stops. Raises NotLeading when only a fresh process is safe."""
        while not self.lifecycle.stopping.is_set():
            async with self._session() as store:
                try:
                    if await self._locked(store):
                        await self._lead(store)
                except CannotWrite as error:
                    self._step_down(error)
            if self._trouble:
                await self._pause()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[Store]:
        """The one database session that holds the lock and runs every append."""
        name = f"farebox-ledger-{self.partition}"
        connection = await connect(self.settings, application_name=name)
        connection.add_termination_listener(self._lost)
        try:
            yield Store(connection, self.partition)
        finally:
            connection.remove_termination_listener(self._lost)
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=2)

    def _lost(self, _connection: object) -> None:
        self.lifecycle.die(f"partition {self.partition}: its database connection was lost")

    async def _locked(self, store: Store) -> bool:
        ground = self._ground
        standby = Standby(
            self.partition, store, ground.nc, ground.clock, self.settings,
            prefers=self._prefers, gives_way=self._gives_way,
        )  # fmt: skip
        if await standby.locked_at_once():
            return True
        self.role, self._trouble = "standby", None
        return await standby.wait(self.lifecycle.stopping)

    async def _lead(self, store: Store) -> None:
        self._term = Term(self._ground, store, gives_way=not self._prefers)
        try:
            await self._term.run(began=self._began)
        finally:
            self.role, self._term = "standby", None
        if not self.lifecycle.stopping.is_set():
            handed_over.inc()
            self._gives_way = True
            log.info("handed partition %d over to a process that prefers it", self.partition)

    def _began(self) -> None:
        self.role, self._trouble = "leading", None

    def _step_down(self, error: CannotWrite) -> None:
        """Another process may be able to write; if none is, this one tries again."""
        stepped_down.inc()
        self._trouble = str(error)
        log.critical("gives up partition %d: %s", self.partition, error)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.step_down_s):
                await self.lifecycle.stopping.wait()
