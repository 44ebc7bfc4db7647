"""Commands that are decided while another batch is written: as if that were written already."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from libs.events.chain import body_hash
from libs.runtime.clock import ManualClock
from services.ledger.columns import Columns
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.catalogues import Term, Terms
from services.ledger.working_set import WorkingSet
from services.ledger.writer import CannotWrite, Writer
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
        (await self.append()).set_result(None)
        await self.decided()

    def hold(self, res: str, amount: int, **data: Any) -> None:
        self.ask(d.reserve(ACCOUNT, KEY, amount, self.clock.now(), res=res, **data), res)

    async def decided(self) -> None:
        """Until everything that waits was looked at."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def append(self) -> "asyncio.Future[None]":
        """The next append, which ends when this future does."""
        async with asyncio.timeout(5):
            return await self.session.appending.get()

    def reply(self, name: str) -> str | None:
        found = self.replies.get(name)
        return found["reply"] if found else None

    @property
    def balance(self) -> tuple[int, int]:
        row = self.database.accounts[ACCOUNT[5:]]
        return row["available"], row["reserved"]


@pytest.fixture
async def held():
    made = Held()
    await made.start()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


@pytest.mark.requirement("RSV-1")
async def test_what_is_decided_ahead_is_answered_after_its_own_append(held):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 30)
    await held.decided()
    assert held.queue.empty, "it was decided already"
    first.set_result(None)
    second = await held.append()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Reserved", None)
    second.set_result(None)
    await held.decided()
    assert held.reply(SECOND) == "Reserved"
    assert held.balance == (10, 90)
    bodies = held.database.bodies()
    assert [body["version"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert bodies[-1]["prev"] == body_hash(held.database.events[len(bodies) - 1][3]).hex()


@pytest.mark.requirement("RSV-3")
async def test_a_credit_held_by_the_batch_being_written_is_not_held_again_ahead(held):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 60)
    await held.decided()
    first.set_result(None)
    await held.decided()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Reserved", "Declined")
    assert held.balance == (40, 60)


@pytest.mark.requirement("RSV-3")
async def test_what_was_decided_on_a_batch_that_failed_is_decided_anew(held):
    """The first hold is refused by the database: the second finds its credits there."""
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 60)
    held.ask(d.release(ACCOUNT, FIRST), "release")
    await held.decided()
    first.set_exception(asyncpg.CheckViolationError("refused"))
    second = await held.append()
    second.set_result(None)
    await held.decided()
    assert held.reply(FIRST) == "RejectedByStore"
    assert (held.reply(SECOND), held.reply("release")) == ("Reserved", "Declined")
    assert held.balance == (40, 60)
    assert [*held.database.reservations] == [SECOND[4:]]


@pytest.mark.requirement("RSV-3")
async def test_a_repeat_of_what_is_being_written_gets_its_reply_once_that_stands(held):
    command = d.reserve(ACCOUNT, KEY, 60, held.clock.now(), res=FIRST)
    held.ask(command, "asked")
    first = await held.append()
    held.ask(command, "again")
    await held.decided()
    assert held.replies == {}
    first.set_result(None)
    await held.decided()
    assert held.replies["asked"] == held.replies["again"]
    assert held.balance == (40, 60)


@pytest.mark.requirement("RSV-3")
async def test_a_deadline_that_passes_while_the_append_hangs_is_kept(held):
    held.hold(FIRST, 10)
    first = await held.append()
    late = d.reserve(ACCOUNT, KEY, 10, held.clock.now() + timedelta(seconds=5), res=SECOND)
    held.clock.advance(20)
    held.ask(late, SECOND)
    await held.decided()
    first.set_result(None)
    await held.decided()
    assert held.replies[SECOND]["data"]["code"] == "deadline_passed"


@pytest.mark.requirement("RSV-1")
async def test_a_hold_released_by_the_batch_being_written_is_not_settled_ahead(held):
    held.hold(FIRST, 60)
    (await held.append()).set_result(None)
    await held.decided()
    held.ask(d.release(ACCOUNT, FIRST), "release")
    releasing = await held.append()
    held.ask(d.settle(ACCOUNT, FIRST, 60), "settle")
    await held.decided()
    assert not held.queue.empty, "what became of the hold is read once it is written"
    releasing.set_result(None)
    await held.decided()
    assert (held.reply("release"), held.reply("settle")) == ("Released", "Conflict")
    assert held.balance == (100, 0)


@pytest.mark.requirement("RSV-1")
async def test_the_hold_of_another_account_waits_for_its_look_up(held):
    held.hold(FIRST, 60)
    (await held.append()).set_result(None)
    await held.decided()
    await held.open(OTHER)
    held.hold(SECOND, 10)
    second = await held.append()
    held.ask(d.settle(OTHER, FIRST, 60), "settle")
    await held.decided()
    assert not held.queue.empty
    second.set_result(None)
    await held.decided()
    assert held.replies["settle"]["data"]["code"] == "unknown_reservation"
    assert held.balance == (30, 70)


@pytest.mark.requirement("RSV-1")
async def test_an_id_that_another_account_may_have_used_waits_for_its_look_up(held):
    """Such an id is made from a client's words: only the log knows who came first."""
    derived = f"req_{1:012x}8{2:019x}"
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(derived, 10)
    await held.decided()
    assert not held.queue.empty
    first.set_result(None)
    (await held.append()).set_result(None)
    await held.decided()
    assert held.reply(derived) == "Reserved"


async def test_a_catalogue_that_is_being_written_sells_ahead(held):
    newer = "d" * 64
    held.ask(d.publish(0, newer), "publish")
    publishing = await held.append()
    held.hold(FIRST, 60, catalogue=newer)
    await held.decided()
    assert held.queue.empty
    publishing.set_result(None)
    (await held.append()).set_result(None)
    await held.decided()
    assert (held.reply("publish"), held.reply(FIRST)) == ("Published", "Reserved")


async def test_what_was_decided_ahead_counts_as_waiting(held):
    """Or a ledger that cannot write would take more than it says it does."""
    held.hold(FIRST, 10)
    await held.append()
    held.hold(SECOND, 10)
    held.hold(THIRD, 10)
    await held.decided()
    assert held.queue.empty
    assert len(held.queue) == 2


async def test_what_waits_for_a_full_disk_is_answered_busy(held):
    held.hold(FIRST, 10)
    first = await held.append()
    held.hold(SECOND, 10)
    await held.decided()
    first.set_exception(asyncpg.DiskFullError("no space"))
    with pytest.raises(CannotWrite):
        await held.running
    await held.writer.refuse_waiting()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Busy", "Busy")
