"""Leaders' clocks differ and are set; the log's time and the holds of customers bear it."""

from datetime import timedelta

import orjson
import pytest

from libs.events.ids import new_id
from services.ledger.expiry import Expiry
from services.ledger.settings import LedgerSettings
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("OPS-2", "RSV-4")

SETTINGS = LedgerSettings()
HOLD_S = 60.0


async def rich(bench):
    account, key = new_id("acct"), new_id("key")
    await bench.run(open_account(account), issue_key(account, key, bench.at), grant(account, 1000))
    return account, key


async def hold(bench, account, key):
    res = new_id("req")
    [reply] = await bench.run(reserve(account, key, 100, bench.at, res=res))
    assert reply["reply"] == "Reserved"
    return res


def watching(bench, *holds):
    """An expiry that knows these holds only: the log has those of other tests too."""
    working = bench.writer.working
    working.deadlines.clear()
    for res in holds:
        working.deadlines.add(working.reservations[res])
    return Expiry(bench.writer, bench.writer.queue, SETTINGS)


async def expires(bench, expiry):
    """Let the timer look and the writer work; say whether a hold was closed."""
    before = len(bench.writer.working.reservations)
    expiry.tick()
    while batch := bench.writer.queue.take():
        await bench.writer.step(batch)
    return len(bench.writer.working.reservations) < before


async def expires_within(bench, expiry, seconds):
    """The same, looking every ten seconds as time passes."""
    for _ in range(int(seconds / 10)):
        bench.clock.advance(10)
        if await expires(bench, expiry):
            return True
    return False


@pytest.fixture
async def leader(database):
    bench = await open_bench(database.dsn("ledger"))
    yield bench
    await bench.close()


async def test_standby_clock_behind_and_step_forward(leader, database):
    account, key = await rich(leader)
    leader.clock.step(90)  # this leader's clock is 90 s ahead of all others
    res = await hold(leader, account, key)
    told = leader.at
    await leader.close()
    standby = await open_bench(database.dsn("ledger"), behind=True)
    standby.clock.advance((told - standby.clock.now()).total_seconds() - 90)
    try:
        other = await _log_time_goes_on(standby, account, key, told)
        await _nothing_expires_early(standby, account, res, other)
    finally:
        await standby.close()


async def _log_time_goes_on(standby, account, key, told):
    """What was decided last is the time, until the clock has caught up; deadlines are in it."""
    assert standby.clock.now() < standby.at == told
    in_time = reserve(account, key, 1, told + timedelta(seconds=5))
    by_its_own_clock = reserve(account, key, 1, standby.clock.now() + timedelta(seconds=5))
    replies = await standby.run(in_time, by_its_own_clock)
    assert [reply["reply"] for reply in replies] == ["Reserved", "Declined"]
    assert replies[1]["data"]["code"] == "deadline_passed"
    rows = await standby.connection.fetch(
        "select body from ledger.events where partition = 0 order by position"
    )
    times = [orjson.loads(row["body"])["occurred_at"] for row in rows]
    assert times == sorted(times)
    return in_time.caller_id


async def _nothing_expires_early(standby, account, res, other):
    """Not within the quiet, and not before ledger time is a grace past the deadline."""
    expiry = watching(standby, res, other)
    assert not await expires_within(standby, expiry, 200)  # its clock says 110 s past the hold
    standby.clock.step(3600)  # and now it is set forward, far past every deadline
    assert not await expires(standby, expiry)
    assert not await expires_within(standby, expiry, SETTINGS.takeover_quiet_s - 10)
    [settled] = await standby.run(settle(account, res, 60))
    assert (settled["reply"], settled["data"]["flags"]) == ("Settled", [])
    assert await expires_within(standby, expiry, 10), "the other hold is closed after the quiet"


async def test_a_new_leader_whose_clock_is_ahead_expires_nothing_at_once(leader, database):
    account, key = await rich(leader)
    res = await hold(leader, account, key)
    await leader.close()
    ahead = await open_bench(database.dsn("ledger"))
    ahead.clock.step(3600)
    try:
        expiry = watching(ahead, res)
        assert not await expires(ahead, expiry)
        assert not await expires_within(ahead, expiry, SETTINGS.takeover_quiet_s - 10)
        [settled] = await ahead.run(settle(account, res, 60))
        assert settled["data"]["flags"] == []
    finally:
        await ahead.close()


async def test_a_step_within_the_grace_closes_no_hold_before_its_deadline(leader):
    account, key = await rich(leader)
    expiry = watching(leader)
    assert not await expires_within(leader, expiry, SETTINGS.takeover_quiet_s)
    await hold(leader, account, key)
    leader.clock.step(SETTINGS.expiry_grace_s - 10)
    assert not await expires_within(leader, expiry, HOLD_S)
    assert await expires_within(leader, expiry, 20)


async def test_a_process_that_was_stopped_lets_settlements_arrive_first(leader):
    """What was sent meanwhile lies in its socket, behind the timers that are all due now."""
    account, key = await rich(leader)
    expiry = watching(leader)
    assert not await expires_within(leader, expiry, SETTINGS.takeover_quiet_s)
    res = await hold(leader, account, key)
    leader.clock.advance(600)
    assert not await expires(leader, expiry)
    [settled] = await leader.run(settle(account, res, 60))
    assert settled["data"]["flags"] == []
