"""The stream is a copy: what it lost is published again, what contradicts the log stops the relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from libs.events.ids import new_id
from libs.runtime import metrics
from libs.runtime.ending import beside
from libs.runtime.streams import provision
from services.ledger.relay import Relay
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, open_account
from tests.support.nats import connected, delete_streams
from tests.support.waiting import until
from tests.support.writing import Bench, open_bench

STREAM = "LEDGER_0"
AHEAD = 'farebox_ledger_stream_ahead{partition="0"} 1'


@pytest.fixture
async def bench(database: Any, streams: Any) -> AsyncIterator[Bench]:
    """A writer on fresh streams; the log grows from test to test, the streams do not."""
    await delete_streams(streams)
    async with connected(streams, "provision") as nc:
        await provision(nc, PARTITIONS)
    made = await open_bench(database.dsn("ledger"))
    account = new_id("acct")
    await made.run(open_account(account))
    await made.run(*(grant(account, 1) for _ in range(20)))
    yield made
    await made.close()


@asynccontextmanager
async def relaying(database: Any, stack: Any, pace_s: float = 0) -> AsyncIterator[Relay]:
    async def connect() -> Any:
        return await asyncpg.connect(database.dsn("ledger"))

    async with connected(stack, "ledger") as nc:
        relay = Relay(0, nc, connect, poll_s=0.05, pace_s=pace_s)
        async with beside(relay.run()):
            yield relay


async def stream_end(stack: Any) -> int:
    async with connected(stack, "provision") as nc:
        return (await nc.jetstream().stream_info(STREAM)).state.last_seq


async def is_a_copy(bench: Bench, stack: Any) -> bool:
    rows = await bench.connection.fetch(
        "select position, body from ledger.events where partition = 0 order by position"
    )
    async with connected(stack, "provision") as nc:
        js = nc.jetstream()
        state = (await js.stream_info(STREAM)).state
        if (state.first_seq, state.last_seq) != (1, len(rows)):
            return False
        return all([(await js.get_msg(STREAM, seq=p)).data == body for p, body in rows])


async def has_healed(relay: Relay, bench: Bench, stack: Any) -> bool:
    """The stream has an event before the relay hears that it has."""
    return await is_a_copy(bench, stack) and relay.problem is None


async def test_an_empty_stream_is_filled_from_the_log(bench, database, streams):
    async with relaying(database, streams):
        await until(lambda: is_a_copy(bench, streams))


async def test_relay_heals_a_lost_tail(bench, database, streams):
    async with relaying(database, streams):
        await until(lambda: is_a_copy(bench, streams))
    kept = await stream_end(streams) - 7
    rows = await bench.connection.fetch(
        "select body from ledger.events where partition = 0 and position <= $1 order by position",
        kept,
    )
    await delete_streams(streams)
    async with connected(streams, "provision") as nc:
        await provision(nc, PARTITIONS)
    async with connected(streams, "ledger") as nc:
        for row in rows:
            await nc.publish("ledger.events.0.CreditsGranted", row["body"])
        await nc.flush()

    async def kept_back() -> bool:
        return await stream_end(streams) == kept

    await until(kept_back)
    async with relaying(database, streams):
        await until(lambda: is_a_copy(bench, streams))


async def test_restored_older_database_stops_the_relay(bench, database, streams):
    async with relaying(database, streams):
        await until(lambda: is_a_copy(bench, streams))
    ahead = await stream_end(streams) + 1
    async with connected(streams, "ledger") as nc:
        await nc.publish("ledger.events.0.CreditsGranted", b'{"of":"a history that was lost"}')
        await nc.flush()
    async with relaying(database, streams) as relay:

        async def stopped() -> bool:
            return "stream_ahead" in (relay.problem or "")

        await until(stopped)
        assert AHEAD in metrics.render(), "this is what an alert looks at"
        account = new_id("acct")
        (opened,) = await bench.run(open_account(account))
        assert opened["reply"] == "Opened", "the ledger itself goes on"
        relay.committed([bench.published[-1].row])
        await until(stopped)
        assert await stream_end(streams) == ahead, "nothing is published behind a foreign event"


async def test_a_stream_is_ahead_also_when_its_messages_aged_out(bench, database, streams):
    """Its last sequence is all that is left of the lost history: enough to see that there was one."""
    async with relaying(database, streams):
        await until(lambda: is_a_copy(bench, streams))
    async with connected(streams, "ledger") as nc:
        await nc.publish("ledger.events.0.CreditsGranted", b'{"of":"a history that was lost"}')
        await nc.flush()
    async with connected(streams, "provision") as nc:
        js = nc.jetstream()
        config = (await js.stream_info(STREAM)).config
        await js.update_stream(config.evolve(max_age=0.1, duplicate_window=0.1))

        async def empty() -> bool:
            return (await js.stream_info(STREAM)).state.messages == 0

        await until(empty)
        await js.update_stream(config)
    async with relaying(database, streams) as relay:

        async def stopped() -> bool:
            return "stream_ahead" in (relay.problem or "")

        await until(stopped)


async def test_a_stream_that_was_put_right_is_followed_again_and_no_alert(bench, database, streams):
    async with connected(streams, "ledger") as nc:
        await nc.publish("ledger.events.0.CreditsGranted", b'{"of":"another history"}')
        await nc.flush()
    async with relaying(database, streams) as relay:

        async def stopped() -> bool:
            return "stream_ahead" in (relay.problem or "")

        await until(stopped)
        await delete_streams(streams)
        async with connected(streams, "provision") as nc:
            await provision(nc, PARTITIONS)
        await until(lambda: has_healed(relay, bench, streams))
        assert AHEAD not in metrics.render()


async def test_other_bytes_at_the_same_position_stop_the_relay(bench, database, streams):
    async with connected(streams, "ledger") as nc:
        await nc.publish("ledger.events.0.CreditsGranted", b'{"of":"another history"}')
        await nc.flush()
    async with relaying(database, streams) as relay:

        async def stopped() -> bool:
            return "other bytes" in (relay.problem or "")

        await until(stopped)
    assert await stream_end(streams) == 1


async def test_a_second_relay_is_fenced_and_nothing_is_doubled(bench, database, streams):
    account = new_id("acct")
    await bench.run(open_account(account))
    async with relaying(database, streams), relaying(database, streams):
        await bench.run(*(grant(account, 1) for _ in range(50)))
        await until(lambda: is_a_copy(bench, streams))


async def test_a_relay_that_wakes_late_publishes_nothing_twice(bench, database, streams):
    """As one of a process that was stopped: what it has in memory the next leader has relayed."""
    account = new_id("acct")

    async def grow(relay: Relay, *commands: Any) -> None:
        bench.published.clear()
        await bench.run(*commands)
        relay.committed([event.row for event in bench.published])

    async with relaying(database, streams, pace_s=1.0) as late:
        await grow(late, open_account(account))
        await until(lambda: is_a_copy(bench, streams))
        await grow(late, *(grant(account, 1) for _ in range(5)))  # while it pauses
        behind = late.last
        assert behind < bench.writer.position
        async with relaying(database, streams):
            await until(lambda: is_a_copy(bench, streams))

        async def awake() -> bool:
            return late.last > behind

        await until(awake)
        assert (late.last, late.problem) == (bench.writer.position, None)
        assert await is_a_copy(bench, streams)


async def test_the_relay_waits_out_a_missing_stream(bench, database, streams):
    await delete_streams(streams)
    async with relaying(database, streams) as relay:

        async def noticed() -> bool:
            return "cannot reach stream" in (relay.problem or "")

        await until(noticed)
        async with connected(streams, "provision") as nc:
            await provision(nc, PARTITIONS)
        await until(lambda: has_healed(relay, bench, streams))
