import asyncio
import contextlib
import os
import signal

import asyncpg
import pytest
from nats.aio.msg import Msg

from libs.events import subjects
from libs.events.codec import canonical
from libs.events.ids import new_id
from libs.runtime.atomic_publish import publish_atomic
from libs.runtime.pull import LedgerPull
from libs.runtime.streams import provision
from tests.support import waiting

SCHEMA = """
create schema pulled;
create table pulled.positions (partition smallint primary key, incarnation int, position bigint);
create table pulled.effects (place bigserial, position bigint, process text);
grant usage on schema pulled to farebox_recharge;
grant all on all tables in schema pulled to farebox_recharge;
grant all on all sequences in schema pulled to farebox_recharge;
"""


def event(position, type_name="Thing", **fields):
    return canonical(
        {
            "type": type_name,
            "type_version": 1,
            "incarnation": 1,
            "partition": 0,
            "position": position,
            "account_id": ACCOUNT,
            "version": position,
            "occurred_at": "2026-11-20T12:00:00.000000Z",
            "command_id": "c",
            "correlation_id": "c",
            "causation": None,
            "traceparent": None,
            "prev": "0" * 64,
            "data": {},
        }
        | fields
    )


ACCOUNT = new_id("acct")


class World:
    """A stream, a database and any number of processes that follow the one into the other."""

    def __init__(self, server, dsn):
        self.server = server
        self.dsn = dsn
        self.gap = []

    async def publish(self, *bodies, expected=None):
        async with self.server.client("ledger") as nc:
            if expected is None:
                expected = (await nc.jetstream().stream_info("LEDGER_0")).state.last_seq
            messages = [(subjects.event(0, "Thing"), body) for body in bodies]
            return await publish_atomic(nc, messages, expected)

    async def sql(self, query, *arguments):
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def effects(self):
        return [
            row["position"]
            for row in await self.sql("select position from pulled.effects order by place")
        ]

    async def stored(self):
        rows = await self.sql("select position from pulled.positions")
        return rows[0]["position"] if rows else 0

    async def reach(self, position):
        async def reached():
            return await self.stored() >= position

        await waiting.eventually(reached, patience_s=15, what=f"position {position} stored")

    async def fetch_gap(self, first, last):
        self.gap.append((first, last))
        return [(n, event(n)) for n in range(first, min(last, first + 2) + 1)]

    @contextlib.asynccontextmanager
    async def follower(self, name="one", apply=None, fetch_gap=None, types=("Thing",)):
        async def write(connection, body):
            await connection.execute(
                "insert into pulled.effects (position, process) values ($1, $2)",
                body["position"],
                name,
            )

        async def connect():
            return await asyncpg.connect(self.dsn, server_settings={"application_name": name})

        async with self.server.client(
            "recharge", max_reconnect_attempts=-1, reconnect_time_wait=0.1
        ) as nc:
            made = LedgerPull(
                nc,
                durable="recharge",
                partition=0,
                types=types,
                schema="pulled",
                connect=connect,
                apply=apply(write) if apply else write,
                fetch_gap=fetch_gap or self.fetch_gap,
            )
            task = asyncio.create_task(made.run())
            try:
                yield made
            finally:
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled(), "nothing but a cancel ends it"


@pytest.fixture
async def world(own_nats_server, database):
    async with own_nats_server.client("provision") as nc:
        await provision(nc, 1, {"recharge": ()})
    database.sql(SCHEMA)
    yield World(own_nats_server, database.dsn("recharge"))
    database.sql("drop schema pulled cascade")


async def test_events_are_applied_once_in_order_and_their_place_is_stored(world):
    await world.publish(*(event(n) for n in range(1, 301)))
    async with world.follower():
        await world.reach(300)
        await world.publish(*(event(n) for n in range(301, 311)))
        await world.reach(310)
    assert await world.effects() == list(range(1, 311))


async def test_a_new_process_goes_on_behind_the_stored_place(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower():
        await world.reach(5)
    await world.publish(*(event(n) for n in range(6, 11)))
    async with world.follower("two"):
        await world.reach(10)
    assert await world.effects() == list(range(1, 11))


async def test_the_stored_place_wins_over_where_the_durable_stands(world):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower():
        await world.reach(10)
    await world.sql("update pulled.positions set position = 4")
    async with world.follower():
        await world.reach(10)
    assert await world.effects() == [*range(1, 11), *range(5, 11)]


async def test_other_types_only_move_the_place_on(world):
    await world.publish(event(1), event(2, "Other"), event(3), event(4, "Other"))
    async with world.follower():
        await world.reach(4)
    assert await world.effects() == [1, 3]


async def test_a_filtered_durable_sees_no_gaps_where_it_left_events_out(world):
    async with world.server.client("provision") as nc:
        await provision(nc, 1, {"recharge": ("Wanted",)})
    async with world.server.client("ledger") as nc:
        kinds = ["Wanted", "Other", "Other", "Wanted", "Other", "Wanted"]
        messages = [(f"ledger.events.0.{kind}", event(n, kind)) for n, kind in enumerate(kinds, 1)]
        await publish_atomic(nc, messages, 0)
    async with world.follower(types=["Wanted"]) as follower:
        await world.reach(6)
        assert follower.problem() is None
    assert await world.effects() == [1, 4, 6]
    assert world.gap == []


async def test_malformed_bytes_are_quarantined_and_the_rest_goes_on(world):
    await world.publish(event(1), b"\x00not json", event(3), b"{}", event(5))
    async with world.follower() as follower:
        await world.reach(5)
        assert follower.problem() is None
    assert await world.effects() == [1, 3, 5]
    async with world.server.client("root") as nc:
        js = nc.jetstream()
        kept = [await js.get_msg("QUARANTINE", n) for n in (1, 2)]
    assert [m.subject for m in kept] == ["quarantine.recharge.0"] * 2
    assert [m.headers[subjects.POSITION_HEADER] for m in kept] == ["2", "4"]
    assert kept[0].data == b"\x00not json"


async def test_poison_that_cannot_be_quarantined_is_not_passed_over(world, eventually):
    async with world.server.client("root") as nc:
        await nc.jetstream().delete_stream("QUARANTINE")
    await world.publish(event(1), b"poison", event(3))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "at position 1" in follower.problem()
        assert await world.stored() == 1
        async with world.server.client("provision") as nc:
            await provision(nc, 1, {"recharge": ()})
        await world.reach(3)
    assert await world.effects() == [1, 3]


def failing(times, at):
    """Make the effect of position ``at`` fail ``times`` times after it was half done."""
    left = [times]

    def wrap(write):
        async def apply(connection, body):
            await write(connection, body)
            if body["position"] == at and left[0]:
                left[0] -= 1
                raise RuntimeError("no luck")

        return apply

    return wrap


async def test_a_failed_effect_leaves_no_trace_and_is_repeated_before_what_follows(world):
    await world.publish(*(event(n) for n in range(1, 21)))
    async with world.follower(apply=failing(3, at=7)) as follower:
        await world.reach(20)
        assert follower.problem() is None
    assert await world.effects() == list(range(1, 21))


async def test_an_effect_that_keeps_failing_stops_there_and_is_a_problem(world, eventually):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower(apply=failing(10**6, at=4)) as follower:
        await eventually(follower.problem)
        assert follower.problem() == "at position 3: RuntimeError('no luck')"
    assert await world.effects() == [1, 2, 3]
    assert await world.stored() == 3


async def test_an_unknown_version_waits_for_a_program_that_knows_it(world, eventually):
    await world.publish(event(1), event(2, type_version=2), event(3))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "unknown version 2 of Thing" in follower.problem()
    assert await world.effects() == [1]


async def test_a_sequence_that_is_not_its_position_is_never_applied(world, eventually):
    await world.publish(event(1), event(7))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "sequence 2 holds position 7" in follower.problem()
    assert await world.effects() == [1]


async def test_what_the_stream_dropped_is_read_from_the_ledger(world):
    await world.publish(*(event(n) for n in range(1, 8)))
    await shorten(world, keep=2)
    async with world.follower():
        await world.reach(7)
    assert await world.effects() == list(range(1, 8))
    assert world.gap == [(1, 5), (4, 5)]


async def test_a_ledger_that_cannot_fill_the_gap_stops_it(world, eventually):
    async def nothing(first, last):
        return []

    await world.publish(*(event(n) for n in range(1, 8)))
    await shorten(world, keep=2)
    async with world.follower(fetch_gap=nothing) as follower:
        await eventually(follower.problem)
        assert "does not give the events from 1 on" in follower.problem()
    assert await world.effects() == []


async def shorten(world, keep):
    """Let the stream drop all but its last messages, as their age would."""
    async with world.server.client("root") as nc:
        js = nc.jetstream()
        config = (await js.stream_info("LEDGER_0")).config
        await js.update_stream(config.evolve(max_msgs=keep))
        await js.update_stream(config)


async def test_a_place_beyond_the_streams_end_is_refused_and_waited_for(world, eventually):
    await world.publish(event(1), event(2))
    await world.sql("insert into pulled.positions values (0, 1, 4)")
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "LEDGER_0 ends at 2, before this position" in follower.problem()
        await world.publish(event(3), event(4), event(5))  # the relay heals the stream
        await world.reach(5)
    assert await world.effects() == [5]


async def test_of_two_processes_one_follows_and_the_other_takes_over(world, eventually):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower("one") as one, world.follower("two") as two:
        await world.reach(10)
        first, second = (one, two) if one.following else (two, one)
        assert not second.following
        assert second.problem() is None
        name = (await world.sql("select distinct process from pulled.effects"))[0]["process"]
        await end_sessions(world, name)
        await eventually(lambda: one.following or two.following)
        await world.publish(*(event(n) for n in range(11, 21)))
        await world.reach(20)
        assert not (one.following and two.following)
    assert await world.effects() == list(range(1, 21))


async def end_sessions(world, name):
    await world.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", name
    )


async def test_a_database_connection_lost_in_an_effect_repeats_the_effect(world):
    cut = []

    def wrap(write):
        async def apply(connection, body):
            await write(connection, body)
            if body["position"] == 3 and not cut:
                cut.append(True)
                await end_sessions(world, "one")

        return apply

    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower("one", apply=wrap):
        await world.reach(5)
    assert cut
    assert await world.effects() == [1, 2, 3, 4, 5]


async def test_a_killed_nats_server_is_waited_out(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower() as follower:
        await world.reach(5)
        world.server.kill()
        await world.server.start()
        await world.publish(*(event(n) for n in range(6, 11)))
        await world.reach(10)
        assert follower.position == 10
    assert await world.effects() == list(range(1, 11))


async def test_a_stopped_server_hides_nothing_once_it_runs_again(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower():
        os.kill(world.server.process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.05)
        os.kill(world.server.process.pid, signal.SIGCONT)
        await world.reach(5)
    assert await world.effects() == [1, 2, 3, 4, 5]


async def test_a_missing_delivery_starts_again_behind_the_stored_place(world):
    """Another reader of the durable takes messages away; none of them is lost."""
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower() as follower:
        await world.reach(10)
        async with world.server.client("recharge") as nc:
            thief = await nc.jetstream().pull_subscribe_bind("recharge", "LEDGER_0")
            stealing = asyncio.create_task(thief.fetch(5, timeout=5))
            await asyncio.sleep(0.05)
            await world.publish(*(event(n) for n in range(11, 31)))
            with contextlib.suppress(TimeoutError):
                await stealing
        await world.reach(30)
        assert follower.position == 30
    assert await world.effects() == list(range(1, 31))


async def test_a_message_delivered_again_is_not_applied_again(world, monkeypatch):
    async def lost(_message):
        """An acknowledgement that never arrives."""

    monkeypatch.setattr(Msg, "ack", lost)
    async with world.server.client("provision") as nc:
        js = nc.jetstream()
        config = (await js.consumer_info("LEDGER_0", "recharge")).config
        await js.add_consumer("LEDGER_0", config.evolve(ack_wait=0.2))
        await world.publish(event(1), event(2))
        async with world.follower() as follower:
            await world.reach(2)

            async def delivered_again():
                return (await js.consumer_info("LEDGER_0", "recharge")).num_redelivered == 2

            await waiting.eventually(delivered_again)
            await world.publish(event(3))
            await world.reach(3)
            assert follower.problem() is None
    assert await world.effects() == [1, 2, 3]


async def test_a_deleted_consumer_is_a_problem_not_silence(world, eventually):
    await world.publish(event(1))
    async with world.follower() as follower:
        await world.reach(1)
        async with world.server.client("root") as nc:
            await nc.jetstream().delete_consumer("LEDGER_0", "recharge")
        await eventually(follower.problem)
        async with world.server.client("provision") as nc:
            await provision(nc, 1, {"recharge": ()})
        await world.publish(event(2))
        await world.reach(2)
    assert await world.effects() == [1, 2]
