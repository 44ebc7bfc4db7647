"""A settlement that waits in the queue is booked before the expiry of its hold (RSV-4)."""

import asyncio
from typing import Any

import orjson
import pytest

from libs.events.ids import new_id
from services.ledger.command_queue import EXPIRY_PATIENCE_S
from services.ledger.expiry import Expiry
from services.ledger.settings import LedgerSettings
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.writing import Bench, open_bench, pending

pytestmark = pytest.mark.requirement("RSV-4")

HOLD, CHARGE = 100, 60
DUE_S = 120  # 60 s hold and 60 s grace, and the quiet after a take-over


class Story:
    """Holds whose deadlines have passed, their expiries queued, and settlements that arrive."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.queue = bench.writer.queue
        self.account, self.key = new_id("acct"), new_id("key")
        self.expiry = Expiry(bench.writer, self.queue, LedgerSettings())

    async def hold(self, number: int) -> list[str]:
        bench, account, key = self.bench, self.account, self.key
        holds = [new_id("req") for _ in range(number)]
        await bench.run(open_account(account), issue_key(account, key, bench.at))
        await bench.run(grant(account, 1000))
        await bench.run(*(reserve(account, key, HOLD, bench.at, res=res) for res in holds))
        for _ in range(DUE_S // 10 - 1):
            bench.clock.advance(10)
            self.expiry.tick()
        bench.clock.advance(11)
        return holds

    def settle(self, holds: list[str]) -> None:
        for res in holds:
            self.queue.put(pending(settle(self.account, res, CHARGE), f"inbox.{res}"))

    async def work(self) -> None:
        """The writer's own loop until nothing waits."""
        self.bench.replies.clear()
        drained = asyncio.Event()
        drained.set()
        await self.bench.writer.run(drained)

    def flags(self, res: str) -> Any:
        reply = self.bench.replies[f"inbox.{res}"]
        return reply["reply"], reply["data"]["flags"]

    async def log(self) -> list[tuple[str, str]]:
        rows = await self.bench.connection.fetch(
            "select body from ledger.events where account_id = $1 order by position",
            self.account[5:],
        )
        events = [orjson.loads(row["body"]) for row in rows]
        return [(event["type"], event["data"].get("res")) for event in events]


@pytest.fixture
async def story(database):
    bench = await open_bench(database.dsn("ledger"))
    yield Story(bench)
    await bench.close()


async def test_settle_beats_expiry_when_queued(story):
    settled, abandoned = await story.hold(2)
    story.expiry.tick()
    story.settle([settled])  # it arrives after the expiry was queued
    await story.work()
    assert story.flags(settled) == ("Settled", [])
    closed = (await story.log())[-2:]
    assert closed == [("CreditsCharged", settled), ("ReservationExpired", abandoned)]


async def test_more_settlements_than_fit_into_a_batch_all_beat_their_expiries(story):
    holds = await story.hold(7)
    story.queue.ceiling = 2
    story.expiry.tick()
    story.settle(holds)
    await story.work()
    assert [story.flags(res) for res in holds] == [("Settled", [])] * 7
    assert "ReservationExpired" not in dict(await story.log())


async def test_an_expiry_waits_for_settlements_five_seconds_and_no_longer(story):
    abandoned, *holds = await story.hold(4)
    story.queue.ceiling = 1
    story.expiry.tick()
    story.settle(holds)
    story.bench.clock.advance(EXPIRY_PATIENCE_S)
    await story.bench.writer.step(story.queue.take())
    assert ("ReservationExpired", abandoned) not in await story.log()
    story.bench.clock.advance(0.1)
    await story.work()
    log = await story.log()
    assert ("ReservationExpired", abandoned) in log
    # Those that waited longer still are booked once, from what came back.
    flags = [story.flags(res) for res in holds[1:]]
    assert flags == [("Settled", []), ("Settled", ["late"])]
    assert sorted(res for kind, res in log if kind == "CreditsCharged") == sorted(holds)
    balance = await story.bench.connection.fetchrow(
        "select available, reserved from ledger.accounts where account_id = $1", story.account[5:]
    )
    assert tuple(balance) == (1000 - 3 * CHARGE, 0)
