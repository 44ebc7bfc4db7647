"""A writer whose appends end when a test says how, so that it can be met in the middle of one."""

import asyncio
import random
from typing import Any

import orjson

from libs.runtime.clock import ManualClock
from services.ledger.columns import Columns
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.catalogues import Term, Terms
from services.ledger.working_set import WorkingSet
from services.ledger.writer import Writer
from tests.seeded.database import Chances, Database, Session
from tests.support import deciding as d
from tests.support.writing import START, pending

ACCOUNT, OTHER, KEY = f"acct_{1:032x}", f"acct_{2:032x}", f"key_{1:032x}"
FIRST, SECOND, THIRD = (f"req_{n:032x}" for n in (1, 2, 3))


class HeldSession(Session):
    """Its appends end when the test says how: committed, or refused with an error."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.appending: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.holds = False

    async def catalogues(self) -> Terms:
        return {d.CATALOGUE: Term("2000-01-01T00:00:00.000000Z")}

    async def append(self, columns: Columns) -> None:
        if self.holds:
            end = asyncio.get_running_loop().create_future()
            self.appending.put_nowait(end)
            await end
        self._alive().commit(columns)


class Held:
    """A running writer whose account holds 100 nanos."""

    def __init__(self) -> None:
        self.database = Database(random.Random(1), Chances(0, 0, 0, 0))
        self.session = HeldSession(self.database)
        self.clock = ManualClock(START)
        self.queue = CommandQueue(256, self.clock.monotonic)
        self.replies: dict[str, dict] = {}
        self.writer = Writer(
            self.session, WorkingSet(10, 10), self.queue, self.clock, incarnation=1,
            reply=self._reply, committed=self._committed,
        )  # fmt: skip

    async def _reply(self, replies, _now) -> None:
        self.replies.update((subject, orjson.loads(raw)) for subject, raw in replies)

    async def _committed(self, _events) -> None:
        pass

    async def start(self) -> None:
        await self.session.try_lock()
        await self.writer.take_over()
        opening = [
            d.open_account(ACCOUNT, initial=100),
            d.issue_key(ACCOUNT, KEY, self.clock.now()),
        ]
        await self.writer.step([pending(command, None) for command in opening])
        self.writer._doubtful = 0
        self.session.holds = True
        self.running = asyncio.create_task(self.writer.run(asyncio.Event()))

    def ask(self, command, name: str) -> None:
        self.queue.put(pending(command, name))

    async def open(self, account: str) -> None:
        self.ask(d.open_account(account), account)
        await self.commit()

    def hold(self, res: str, amount: int, **data: Any) -> None:
        self.ask(d.reserve(ACCOUNT, KEY, amount, self.clock.now(), res=res, **data), res)

    @property
    def waits(self) -> bool:
        """Whether a command waits of which nothing was decided."""
        return self.queue.first() is not None

    async def decided(self) -> None:
        """Until everything that waits was looked at."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def append(self) -> "asyncio.Future[None]":
        """The next append, which ends when this future does."""
        async with asyncio.timeout(5):
            return await self.session.appending.get()

    async def commit(self) -> None:
        """Let the next append succeed."""
        (await self.append()).set_result(None)
        await self.decided()

    async def commit_all(self) -> None:
        """Let appends succeed as long as there are any."""
        while not self.session.appending.empty():
            await self.commit()

    def reply(self, name: str) -> str | None:
        found = self.replies.get(name)
        return found["reply"] if found else None

    @property
    def balance(self) -> tuple[int, int]:
        row = self.database.accounts[ACCOUNT[5:]]
        return row["available"], row["reserved"]
