"""One follower a partition: in order, exactly once, never past what it could not apply."""

import itertools
from contextlib import asynccontextmanager

import asyncpg
import orjson
import pytest

from libs.runtime.ending import beside
from services.ledger import follower as following
from services.ledger.follower import LOCK_SPACE, Follower
from services.ledger.projections.projector import NAMES
from services.ledger.schema import PARTITION_SIZE
from services.ledger.verify import verify
from tests.support.database import Database
from tests.support.log_builder import LogBuilder
from tests.support.projecting import connection_of
from tests.support.stories import live
from tests.support.waiting import until

_copies = itertools.count(1)


@pytest.fixture
async def fresh(database):
    """A database of the test's own."""
    name = f"{database.name}_{next(_copies)}"
    database.stack.create_database(name, template=database.name)
    made = Database(database.stack, name)
    async with connection_of(made, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    yield made
    database.stack.drop_database(name)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr(following, "BACK_OFF_MOST_S", 0.05)
    monkeypatch.setattr(following, "BACK_OFF_S", 0.01)


@asynccontextmanager
async def following_log(database, partition=0, *, batch=500, quarantine=None):
    """A follower at work; `.poison` collects what it passed over."""
    poison = []

    async def connect():
        return await asyncpg.connect(
            database.dsn("reader"), server_settings={"search_path": "ledger"}
        )

    async def keep(partition, position, raw, error):
        poison.append((partition, position, bytes(raw), error))

    made = Follower(partition, connect, quarantine or keep, batch=batch, poll_s=0.01)
    made.poison = poison
    async with beside(made.run()):
        yield made


async def write(database, builder):
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)


async def reached(database, position, partition=0):
    async def holds():
        async with connection_of(database, "auditor") as auditor:
            rows = await auditor.fetch(
                "select position from ledger.projection_positions where partition = $1", partition
            )
        return bool(rows) and all(row["position"] >= position for row in rows)

    await until(holds)


async def verified(database):
    async with connection_of(database, "auditor") as auditor:
        return (await verify(auditor, lambda _line: None)).differences


async def as_superuser(database, statement, *arguments):
    async with connection_of(database, "postgres") as superuser:
        await superuser.execute("set session_replication_role = replica")
        return await superuser.execute(statement, *arguments)


@pytest.mark.parametrize("batch", [1, 7, 500])
async def test_projections_equal_a_replay_whatever_the_size_of_the_steps(fresh, batch):
    builder = live(LogBuilder(), seed=batch, steps=120)
    await write(fresh, builder)
    async with following_log(fresh, batch=batch):
        await reached(fresh, builder.position)
    assert await verified(fresh) == []


async def test_what_is_committed_later_follows_in_order(fresh):
    builder = LogBuilder()
    async with following_log(fresh):
        for seed in range(5):
            live(builder, seed, steps=30)
            await write(fresh, builder)
            await reached(fresh, builder.position)
    assert await verified(fresh) == []


async def test_a_follower_stopped_anywhere_is_continued_by_the_next(fresh):
    builder = live(LogBuilder(), seed=3, steps=200)
    await write(fresh, builder)
    for stop_at in (10, builder.position // 2, builder.position - 5):
        async with following_log(fresh, batch=3):
            await reached(fresh, stop_at)
    async with following_log(fresh):
        await reached(fresh, builder.position)
    assert await verified(fresh) == []


async def test_of_two_followers_one_writes_and_the_other_takes_over(fresh):
    builder = live(LogBuilder(), seed=4, steps=100)
    await write(fresh, builder)
    async with following_log(fresh) as one, following_log(fresh) as two:
        await reached(fresh, builder.position)
        assert await leaders(fresh) == 1
        assert (one.health(), two.health()) == (None, None)
        await as_superuser(
            fresh,
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            " and granted and classid = $1",
            LOCK_SPACE,
        )
        live(builder, seed=5, steps=100)
        await write(fresh, builder)
        await reached(fresh, builder.position)
    assert await verified(fresh) == []


async def leaders(database):
    async with connection_of(database, "postgres") as superuser:
        return await superuser.fetchval(
            "select count(*) from pg_locks where locktype = 'advisory' and granted"
            " and classid = $1 and database = (select oid from pg_database where datname = $2)",
            LOCK_SPACE,
            database.name,
        )


async def test_bytes_that_are_no_event_are_told_once_and_take_no_good_event_along(fresh):
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    bad = builder.position
    res = builder.reserve(name, key, 30)
    await write(fresh, builder)
    await as_superuser(
        fresh, "update ledger.events set body = 'x' where position = $1 and partition = 0", bad
    )
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        assert [(p, position, raw) for p, position, raw, _ in follower.poison] == [(0, bad, b"x")]
        assert follower.health() is None
    assert await statement(fresh) == [("reservation", -30, res)]


@pytest.mark.parametrize(
    "data",
    [{"amount": "9" * 40}, {"amount": None}, {"amount": "1.5"}, {"type_version": None}],
)
async def test_a_body_with_wrong_fields_is_told_and_passed_over(fresh, data):
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    bad = builder.position
    res = builder.reserve(name, key, 30)
    await write(fresh, builder)
    body = orjson.loads(await body_at(fresh, bad))
    body |= {"data": body["data"] | data} if "type_version" not in data else data
    await as_superuser(
        fresh, "update ledger.events set body = $1 where position = $2", orjson.dumps(body), bad
    )
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        assert [position for _, position, _, _ in follower.poison] == [bad]
    assert await statement(fresh) == [("reservation", -30, res)]


async def test_the_end_of_a_reservation_whose_beginning_is_malformed_is_told_too(fresh):
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    lost = builder.reserve(name, key, 30)
    bad = builder.position
    builder.settle(lost, 10)
    res = builder.reserve(name, key, 5)
    await write(fresh, builder)
    await as_superuser(fresh, "update ledger.events set body = 'x' where position = $1", bad)
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        assert [position for _, position, _, _ in follower.poison] == [bad, bad + 1]
    assert (await statement(fresh))[-1] == ("reservation", -5, res)


async def test_a_row_that_only_the_table_lost_is_not_passed_over(fresh):
    """The log knows the reservation, so the receipt's absence is our failure, not bad bytes."""
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    res = builder.reserve(name, key, 30)
    await write(fresh, builder)
    async with following_log(fresh):
        await reached(fresh, builder.position)
    await as_superuser(fresh, "delete from ledger.requests")
    before = builder.position
    builder.settle(res, 10)
    await write(fresh, builder)
    async with following_log(fresh) as follower:
        await until(told(follower, "UnknownRequest"))
        assert follower.poison == []
        assert await positions(fresh) == {before}


async def test_an_event_of_an_unknown_type_is_skipped(fresh):
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 100)
    await write(fresh, builder)
    await as_superuser(fresh, "update ledger.events set type = 999 where position = 1")
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        assert follower.poison == []
    assert await statement(fresh) == [("top_up", 100, None)]


async def test_an_unknown_version_of_a_known_type_stops_the_projection_until_it_is_known(fresh):
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 100)
    await write(fresh, builder)
    body = await body_at(fresh, 2)
    newer = body.replace(b'"type_version":1', b'"type_version":2')
    await as_superuser(fresh, "update ledger.events set body = $1 where position = 2", newer)
    async with following_log(fresh) as follower:
        await until(told(follower, "UnknownVersionError"))
        assert await positions(fresh) <= {0}
        assert follower.poison == []
        await as_superuser(fresh, "update ledger.events set body = $1 where position = 2", body)
        await reached(fresh, builder.position)
        assert follower.health() is None
    assert await statement(fresh) == [("top_up", 100, None)]


async def test_a_failed_effect_is_tried_again_and_never_skipped(fresh):
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 100)
    await write(fresh, builder)
    await as_superuser(
        fresh, "alter table ledger.entries add constraint stop check (amount <> 100) not valid"
    )
    async with following_log(fresh) as follower:
        await until(told(follower, "CheckViolationError"))
        assert max(await positions(fresh)) < builder.position
        await as_superuser(fresh, "alter table ledger.entries drop constraint stop")
        await reached(fresh, builder.position)
        assert follower.health() is None
    assert await statement(fresh) == [("top_up", 100, None)]


async def test_a_gap_in_the_log_stops_the_projection(fresh):
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 100)
    builder.grant(name, 200)
    await write(fresh, builder)
    await as_superuser(fresh, "delete from ledger.events where position = 2")
    async with following_log(fresh) as follower:
        await until(told(follower, "GapError"))
        assert await statement(fresh) == []


async def test_poison_that_cannot_be_put_away_stops_the_projection(fresh):
    builder = LogBuilder()
    builder.grant(builder.account(), 100)
    await write(fresh, builder)
    await as_superuser(fresh, "update ledger.events set body = 'x' where position = 2")
    broken = [True]

    async def quarantine(*_):
        if broken:
            raise OSError("no NATS")

    async with following_log(fresh, quarantine=quarantine) as follower:
        await until(told(follower, "no NATS"))
        assert await positions(fresh) == {0}
        broken.clear()
        await reached(fresh, 2)


async def test_a_projection_moved_by_another_hand_is_not_written_over(fresh):
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 100)
    await write(fresh, builder)
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        await as_superuser(
            fresh,
            "update ledger.projection_positions set position = 0 where projection = 'entries'",
        )
        await as_superuser(fresh, "delete from ledger.entries")
        builder.grant(name, 7)
        await write(fresh, builder)
        await reached(fresh, builder.position)
        assert follower.health() is None
    assert await verified(fresh) == []


async def test_one_projection_is_rebuilt_while_the_other_stands(fresh):
    builder = live(LogBuilder(), seed=6, steps=100)
    await write(fresh, builder)
    async with following_log(fresh):
        await reached(fresh, builder.position)
    async with connection_of(fresh, "reader") as reader:
        await reader.execute("truncate ledger.entries")
        await reader.execute("delete from ledger.projection_positions where projection = 'entries'")
    async with following_log(fresh, batch=9):
        await reached(fresh, builder.position)
    assert await verified(fresh) == []


async def test_a_projection_emptied_beside_a_running_reader_is_made_anew(fresh):
    builder = live(LogBuilder(), seed=7, steps=100)
    await write(fresh, builder)
    async with following_log(fresh) as follower:
        await reached(fresh, builder.position)
        async with connection_of(fresh, "reader") as reader:
            await reader.execute(f"truncate {', '.join(f'ledger.{name}' for name in NAMES)}")
            await reader.execute("delete from ledger.projection_positions")
        await reached(fresh, builder.position)
        assert follower.poison == []
    assert await verified(fresh) == []


async def test_the_log_is_followed_across_a_range_of_positions(fresh):
    builder = LogBuilder(position=PARTITION_SIZE - 3)
    name = builder.account()
    for amount in (1, 2, 3, 4):
        builder.grant(name, amount)
    await write(fresh, builder)
    await as_superuser(
        fresh,
        "insert into ledger.projection_positions select name, 0, $1 from unnest($2::text[]) name",
        PARTITION_SIZE - 3,
        NAMES,
    )
    async with following_log(fresh, batch=2):
        await reached(fresh, builder.position)
    assert [amount for _, amount, _ in await statement(fresh)] == [1, 2, 3, 4]


def told(follower, text):
    async def holds():
        return text in (follower.health() or "")

    return holds


async def positions(database):
    async with connection_of(database, "auditor") as auditor:
        rows = await auditor.fetch("select position from ledger.projection_positions")
    return {row["position"] for row in rows}


async def body_at(database, position):
    async with connection_of(database, "auditor") as auditor:
        return await auditor.fetchval(
            "select body from ledger.events where position = $1", position
        )


async def statement(database):
    async with connection_of(database, "auditor") as auditor:
        rows = await auditor.fetch(
            "select type, amount, res from ledger.entries order by position, line"
        )
    return [(kind, amount, f"req_{res.hex}" if res else None) for kind, amount, res in rows]
