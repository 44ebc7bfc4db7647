"""The ledger's processes: one leads, dies in every way, and another one starts afresh."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg

from services.ledger.columns import EventRow
from services.ledger.command_queue import CommandQueue
from services.ledger.expiry import Expiry
from services.ledger.pending import Pending
from services.ledger.working_set import WorkingSet
from services.ledger.writer import DOUBTFUL, NotLeading, Writer
from tests.seeded.database import Database, Session
from tests.seeded.wire import Wire

SETTINGS = SimpleNamespace(expiry_grace_s=2.0, takeover_quiet_s=3.0, expiry_tick_s=0.5)


class SkewedClock:
    """A machine's clock: off by some seconds, and sometimes set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime, skew_s: float) -> None:
        self._loop = loop
        self._start = start
        self.skew_s = skew_s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time() + self.skew_s)

    def monotonic(self) -> float:
        return self._loop.time()


@dataclass
class Cluster:
    rng: random.Random
    loop: asyncio.AbstractEventLoop
    database: Database
    wire: Wire
    start: datetime
    published: dict[int, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    session: Session | None = None
    clock: SkewedClock | None = None
    leaders: int = 0
    _task: "asyncio.Task[Any] | None" = None
    _gone: "asyncio.Future[None] | None" = None
    _zombies: "list[asyncio.Task[Any]]" = field(default_factory=list)

    async def run(self) -> None:
        """One leader after the other, for ever."""
        while True:
            self.leaders += 1
            self._gone = self.loop.create_future()
            self._task = asyncio.create_task(self._lead(f"ledger-{self.leaders}"))
            self._task.add_done_callback(self._left(self._gone))
            await self._gone
            await asyncio.sleep(self.rng.uniform(0.05, 1.5))

    def kill(self) -> None:
        """kill -9: whatever it was doing, it does no more."""
        self.wire.trace("chaos", "kills")
        if self._task is not None:
            self._task.cancel()

    def usurp(self) -> None:
        """The leader hangs: its session is ended, another one leads, and then it goes on."""
        self.wire.trace("chaos", "usurps")
        if self.session is not None and self._task is not None:
            self._zombies.append(self._task)
            self.session.close()
            self._left(self._gone)(self._task)

    @staticmethod
    def _left(gone: "asyncio.Future[None]") -> Callable[[Any], None]:
        return lambda _task: None if gone.done() else gone.set_result(None)

    def step_clock(self) -> None:
        if self.clock is not None:
            self.clock.skew_s = self.rng.uniform(-20, 20)
            self.wire.trace("chaos", "sets the clock", self.clock.skew_s)

    async def _lead(self, name: str) -> None:
        session = self.session = Session(self.database)
        try:
            while not await session.try_lock():  # noqa: ASYNC110
                await asyncio.sleep(0.25)
            await self._serve(session, name)
        except (NotLeading, asyncpg.PostgresError) as error:
            self.wire.trace(name, "ends", str(error))
        except Exception as error:  # noqa: BLE001 (any other end is a finding)
            self.failures.append(f"{name} died of {error!r}")
        finally:
            session.close()

    async def _serve(self, session: Session, name: str) -> None:
        clock = self.clock = SkewedClock(self.loop, self.start, self.rng.uniform(-20, 20))
        queue = CommandQueue(self.rng.choice((1, 4, 256)), clock.monotonic)
        working = WorkingSet(self.rng.choice((1, 1000)), self.rng.choice((0, 5, 1000)))

        async def committed(events: list[EventRow]) -> None:
            self.published.update((position, body) for position, _, _, _, body, _ in events)

        writer = Writer(
            session, working, queue, clock, incarnation=1, reply=self.wire.reply,
            committed=committed,
        )  # fmt: skip
        await writer.take_over()
        writer._doubtful = self.rng.choice((0, 5, DOUBTFUL))
        expiry = Expiry(writer, queue, SETTINGS)
        self.wire.trace(name, "leads from", writer.position, "skew", clock.skew_s)

        def listen(pending: Pending) -> None:
            queue.put(pending)

        timers = asyncio.create_task(expiry.run())
        self.wire.listeners.append(listen)
        try:
            await writer.run(asyncio.Event())
        finally:
            self.wire.listeners.remove(listen)
            timers.cancel()


async def chaos(cluster: Cluster, every_s: float) -> None:
    """Kills, hangs and clock steps, now and then."""
    while True:
        await asyncio.sleep(cluster.rng.expovariate(1 / every_s))
        cluster.rng.choice((cluster.kill, cluster.usurp, cluster.step_clock))()
