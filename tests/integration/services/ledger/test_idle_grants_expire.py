"""A grant nobody uses ends when its time is over, by an event of its own (CRD-4)."""

from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest

from libs.events.ids import new_id
from libs.runtime.errors import DatabaseUnavailable
from services.ledger import expiry
from services.ledger.expiry import GrantExpiry
from services.ledger.settings import LedgerSettings
from tests.support.deciding import grant, issue_key, open_account, release, reserve
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("CRD-4")


@pytest.fixture
async def bench(database):
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


@pytest.fixture
def timer(bench, database):
    async def connect():
        return await asyncpg.connect(database.dsn("ledger"))

    return GrantExpiry(bench.writer, bench.writer.queue, LedgerSettings(), connect)


async def tick(bench, timer, seconds=0.0):
    """Time passes, the timer looks, and the writer does what it queued; how many commands."""
    bench.clock.advance(seconds)
    await timer.tick()
    done = 0
    while batch := bench.writer.queue.take():
        done += len(batch)
        assert len(batch) <= 50
        await bench.writer.step(batch)
    return done


async def given(bench, *lives, key=None):
    """An account with a grant of 10 for each of these lives, in seconds."""
    account = new_id("acct")
    keys = [issue_key(account, key, bench.at)] if key else []
    grants = [grant(account, 10, expires_at=bench.at + timedelta(seconds=life)) for life in lives]
    await bench.run(open_account(account), *keys, *grants)
    return account


async def available(bench, account):
    return await bench.connection.fetchval(
        "select available from ledger.accounts where account_id = $1", account[5:]
    )


async def test_an_idle_grant_expires_when_it_is_due_and_not_before(bench, timer):
    account = await given(bench, 30, 90)
    assert await tick(bench, timer, 29) == 0
    assert await available(bench, account) == 20
    assert await tick(bench, timer, 1) == 1
    assert await available(bench, account) == 10
    assert bench.published[-1].type == "CreditsExpired"
    assert await tick(bench, timer, 60) == 1, "the next grant of the account"
    assert await available(bench, account) == 0
    assert await tick(bench, timer, 600) == 0


async def test_a_grant_made_after_the_look_is_seen_by_the_next(bench, timer):
    await tick(bench, timer)
    account = await given(bench, 10)
    assert await tick(bench, timer, 20) == 0
    assert await tick(bench, timer, 40) == 1
    assert await available(bench, account) == 0


async def test_what_is_reserved_waits_for_its_hold(bench, timer):
    key, res = new_id("key"), new_id("req")
    account = await given(bench, 30, key=key)
    await bench.run(reserve(account, key, 10, bench.at, res=res))
    assert await tick(bench, timer, 60) == 0
    await bench.run(release(account, res))
    assert bench.published[-1].type == "CreditsExpired"
    assert await available(bench, account) == 0


async def test_an_entry_that_is_out_of_date_does_nothing(bench, timer):
    account = await given(bench, 30)
    await tick(bench, timer)
    bench.clock.advance(30.0)
    await bench.run(grant(account, 5))  # expires the first grant on the way
    position = bench.writer.position
    assert await tick(bench, timer) == 1
    assert bench.writer.position == position


async def test_many_accounts_are_read_page_by_page_and_expired_50_a_batch(
    bench, timer, monkeypatch
):
    monkeypatch.setattr(expiry, "PAGE", 60)
    accounts = [await given(bench, 30) for _ in range(130)]
    assert [await tick(bench, timer, wait) for wait in (30, 1, 1, 1)] == [60, 60, 10, 0]
    assert {await available(bench, account) for account in accounts} == {0}


async def test_positions_of_expiries_are_contiguous(bench, timer):
    for _ in range(3):
        await given(bench, 5)
    await tick(bench, timer, 5)
    positions = [event.position for event in bench.published]
    assert all(after == before + 1 for before, after in pairwise(positions))


async def test_an_unreachable_database_is_waited_out(bench, monkeypatch):
    looks = []

    async def connect():
        looks.append(bench.at)
        raise DatabaseUnavailable("away")

    stop = RuntimeError("enough")

    async def sleep(_seconds):
        bench.clock.advance(60.0)
        if len(looks) > 2:
            raise stop

    monkeypatch.setattr(expiry.asyncio, "sleep", sleep)
    timer = GrantExpiry(bench.writer, bench.writer.queue, LedgerSettings(), connect)
    with pytest.raises(RuntimeError, match="enough"):
        await timer.run()
    assert len(looks) == 3
