"""The balance as of any position or time is what the events themselves say of it."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from libs.events.ids import new_id
from libs.events.times import from_text
from services.ledger.history import HistoryError, Wanted, events, position_at, standing
from tests.support.deciding import grant, issue_key, open_account, release, reserve, settle
from tests.support.log_builder import START, LogBuilder, account_in
from tests.support.projecting import connection_of
from tests.support.stories import live
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("AUD-2")

LOG = "select position, body from ledger.events where partition = $1 order by position"


@pytest.fixture(scope="module")
async def story(database):
    builder = live(LogBuilder(partition=1), seed=3, steps=150)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    return builder


@pytest.fixture
async def auditor(database, story):
    async with connection_of(database, "auditor") as connection:
        yield connection


async def bodies(auditor, partition=1):
    return [orjson.loads(row["body"]) for row in await auditor.fetch(LOG, partition)]


async def agrees_everywhere(auditor, partition):
    """After each position each account stands where its last event said."""
    said: dict[str, tuple[int, int]] = {}
    checked = 0
    for event in await bodies(auditor, partition):
        account, data = event["account_id"], event["data"]
        if "available" in data:
            said[account] = int(data["available"]), int(data["reserved"])
        for name, balance in said.items():
            found = await standing(auditor, name, event["position"])
            assert (found.account.available, found.account.reserved) == balance
            assert sum(hold.amount for hold in found.holds.values()) == balance[1]
            assert sum(g.available for g in found.account.grants.values()) == balance[0]
            assert not any(g.left_over for g in found.account.grants.values())
            assert found.differences == []
            checked += 1
    return checked


async def test_at_every_position_of_a_random_life(auditor, story):
    assert await agrees_everywhere(auditor, 1) > 100


async def test_at_every_position_of_what_the_writer_wrote(database, auditor):
    bench = await open_bench(database.dsn("ledger"))
    account, key, res = account_in(0), new_id("key"), new_id("req")
    deadline = bench.at + timedelta(seconds=5)
    await bench.run(open_account(account, initial=500), issue_key(account, key, bench.at))
    await bench.run(grant(account, 3000), reserve(account, key, 900, deadline, res=res))
    await bench.run(settle(account, res, 350))
    second = new_id("req")
    await bench.run(reserve(account, key, 3100, deadline, res=second))
    await bench.run(release(account, second))
    await bench.close()
    assert await agrees_everywhere(auditor, 0) >= 6
    now = await standing(auditor, account)
    assert (now.account.available, now.position) == (3150, now.log_end)
    assert [g.charged for g in now.account.grants.values()] == [350, 0]


async def test_at_a_time_is_at_the_last_position_by_then(auditor, story):
    log = await bodies(auditor)
    for event in log[:: len(log) // 20]:
        moment = from_text(event["occurred_at"])
        same = [e["position"] for e in log if e["occurred_at"] <= event["occurred_at"]]
        assert await position_at(auditor, 1, moment, len(log)) == same[-1]
        just_before = await position_at(auditor, 1, moment - timedelta(microseconds=1), len(log))
        assert just_before == len([e for e in log if e["occurred_at"] < event["occurred_at"]])
    assert await position_at(auditor, 1, START - timedelta(days=1), len(log)) == 0
    assert await position_at(auditor, 1, datetime(2999, 1, 1, tzinfo=UTC), len(log)) == len(log)
    name = next(iter(story.stories))
    middle = log[len(log) // 2]
    by_time = await standing(auditor, name, from_text(middle["occurred_at"]))
    by_position = await standing(auditor, name, middle["position"])
    assert by_time.account.available == by_position.account.available


async def test_what_the_log_cannot_answer_is_refused(auditor, story):
    name = next(iter(story.stories))
    for account, at, said in (
        (account_in(1), None, "unknown_account"),
        (name, START - timedelta(days=1), "unknown_account"),
        (name, 0, "unknown_account"),
        (name, story.position + 1, "partition 1 ends at"),
    ):
        with pytest.raises(HistoryError, match=said):
            await standing(auditor, account, at)


async def test_a_damaged_event_of_the_account_is_told(database, story):
    name = next(iter(story.stories))
    async with connection_of(database, "postgres") as superuser:
        transaction = superuser.transaction(isolation="repeatable_read")
        await transaction.start()
        await superuser.execute("set local session_replication_role = replica")
        change = "update ledger.events set hash = 'x' where partition = 1 and account_id = $1"
        await superuser.execute(f"{change} and version = 3", name[5:])
        found = await told(superuser, name)
        assert {d.column for d in found.differences} == {"hash", "body.prev"}
        change = "update ledger.events set body = 'no json' where partition = 1"
        await superuser.execute(change)
        with pytest.raises(HistoryError, match="cannot be read"):
            await position_at(superuser, 1, START, story.position)
        await transaction.rollback()


async def told(superuser, name):
    """A standing inside of a transaction that may write."""

    class Writing:
        def transaction(self, **_given):
            return superuser.transaction()

        def __getattr__(self, attribute):
            return getattr(superuser, attribute)

    return await standing(Writing(), name)


async def found(auditor, **wanted):
    return [
        (e.partition, e.position) async for run in events(auditor, Wanted(**wanted)) for e in run
    ]


async def test_events_are_given_as_stored_and_filtered(auditor, story):
    log = await bodies(auditor)
    raw = [row["body"] for row in await auditor.fetch(LOG, 1)]
    given = [e async for run in events(auditor, Wanted(partition=1)) for e in run]
    assert [e.body for e in given] == raw
    name = next(iter(story.stories))
    own = [(1, e["position"]) for e in log if e["account_id"] == name]
    assert await found(auditor, account_id=name) == own
    assert await found(auditor, account_id=name, partition=1, limit=3) == own[:3]
    assert await found(auditor, account_id=name, first=own[4][1]) == own[4:]
    middle = log[len(log) // 2]
    until = from_text(middle["occurred_at"])
    assert await found(auditor, partition=1, until=until) == [
        (1, e["position"]) for e in log if e["occurred_at"] <= middle["occurred_at"]
    ]
    after = from_text(log[-1]["occurred_at"]) + timedelta(seconds=1)
    since = [e["position"] for e in log if e["occurred_at"] >= middle["occurred_at"]]
    assert await found(auditor, partition=1, first=until) == [(1, n) for n in since]
    assert await found(auditor, partition=1, first=START - timedelta(days=1)) == [
        (1, e["position"]) for e in log
    ]
    assert await found(auditor, partition=1, first=after) == []
    assert await found(auditor, partition=1, first=3, until=5) == [(1, 3), (1, 4), (1, 5)]
    assert await found(auditor, partition=2) == []
    assert await found(auditor, account_id="part_1") == []
    everything = await found(auditor)
    assert everything == sorted(everything)
    assert await found(auditor, limit=0) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"partition": 3}, "no partition 3"),
        ({"partition": 0, "account_id": account_in(1)}, "is of partition 1"),
        ({"account_id": "part_7"}, "is of partition 7"),
    ],
)
async def test_what_no_partition_has_is_refused(auditor, wanted, said):
    with pytest.raises(HistoryError, match=said):
        await found(auditor, **wanted)
