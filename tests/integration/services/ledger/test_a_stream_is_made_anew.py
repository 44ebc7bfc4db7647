"""`stream_rebuild`: where a stream parts from its log, and what is left when it is interrupted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest

from libs.events.ids import new_id
from libs.runtime.ending import beside
from libs.runtime.positions import Incarnation
from libs.runtime.streams import mark, provision
from services.ledger import stream_rebuild
from services.ledger.incarnations import incarnations
from services.ledger.invariants import WholeLog
from services.ledger.relay import Relay
from services.ledger.stream_rebuild import RebuildError, compare, rebuild
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, open_account
from tests.support.nats import connected, delete_streams
from tests.support.waiting import until
from tests.support.writing import Bench, open_bench

pytestmark = pytest.mark.requirement("OPS-2")

STREAM = "LEDGER_0"


class Place:
    """A log with its writer, and its stream; the log goes on from test to test."""

    def __init__(self, bench: Bench, database: Any, stack: Any, nc: Any, reading: Any) -> None:
        self.bench = bench
        self.database = database
        self.stack = stack
        self.nc = nc
        self.js = nc.jetstream()
        self.reading = reading
        self.kept: list[bytes] = []

    async def log(self) -> list[bytes]:
        rows = await self.reading.fetch(
            "select body from ledger.events where partition = 0 order by position"
        )
        return [row["body"] for row in rows]

    async def stream(self) -> tuple[int, list[bytes]]:
        """Where it begins, and all that it holds."""
        state = (await self.js.stream_info(STREAM)).state
        if not state.messages:
            return state.first_seq, []
        held = range(state.first_seq, state.last_seq + 1)
        return state.first_seq, [(await self.js.get_msg(STREAM, seq=n)).data for n in held]

    async def fill(self, bodies: list[bytes]) -> None:
        async with connected(self.stack, "ledger") as nc:
            for body in bodies:
                await nc.publish("ledger.events.0.CreditsGranted", body)
            await nc.flush()

        async def filled() -> bool:
            return (await self.js.stream_info(STREAM)).state.messages >= len(bodies)

        await until(filled)

    async def keep(self, _wanted: Incarnation, events: AsyncIterator[bytes]) -> int:
        self.kept = [event async for event in events]
        return len(self.kept)

    async def rebuild(self, **how: Any) -> Incarnation:
        tell: list[str] = []
        return await rebuild(self.nc, self.reading, 0, keep=self.keep, tell=tell.append, **how)

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[Relay]:
        """The writer works by itself, with the relay beside it, as a leader has them."""
        writer, drained = self.bench.writer, asyncio.Event()

        def lives(wanted: Incarnation) -> bool:
            if writer.incarnation < wanted.number:
                writer.want(wanted)
            return writer.incarnation >= wanted.number

        async def connect() -> Any:
            return await asyncpg.connect(self.database.dsn("ledger"))

        async with connected(self.stack, "ledger") as nc:
            relay = Relay(0, nc, connect, poll_s=0.05, pace_s=0, want=lives)
            async with beside(relay.run()):
                working = asyncio.create_task(writer.run(drained))
                try:
                    yield relay
                finally:
                    drained.set()
                    self.bench.writer.queue.wake()
                    await working


@pytest.fixture
async def place(database: Any, streams: Any) -> AsyncIterator[Place]:
    await delete_streams(streams)
    bench = await open_bench(database.dsn("ledger"))
    account = new_id("acct")
    await bench.run(open_account(account), *(grant(account, 1) for _ in range(9)))
    reading = await asyncpg.connect(database.dsn("auditor"))
    async with connected(streams, "provision") as nc:
        await provision(nc, PARTITIONS)
        yield Place(bench, database, streams, nc, reading)
    await reading.close()
    await bench.close()


def other(number: int) -> bytes:
    return orjson.dumps({"incarnation": 1, "of": "a lost history", "number": number})


@pytest.mark.parametrize("same", [1, 2, 5, 9, 10])
async def test_it_is_found_where_both_part(place, same):
    log = await place.log()
    await place.fill(log[:same] + [other(n) for n in range(4)])
    found = await compare(place.js, place.reading, 0)
    assert found.differs_from == same + 1
    assert (found.log_end, found.stream_end) == (len(log), same + 4)


async def test_a_stream_that_is_behind_is_a_copy(place):
    await place.fill((await place.log())[:4])
    assert (await compare(place.js, place.reading, 0)).differs_from is None
    with pytest.raises(RebuildError, match="nothing is to be rebuilt"):
        await place.rebuild()


async def test_where_nothing_is_alike_they_parted_at_the_beginning(place):
    await place.fill([other(n) for n in range(len(await place.log()) + 2)])
    assert (await compare(place.js, place.reading, 0)).differs_from == 1


async def test_a_rebuilt_stream_holds_the_log_from_there_on(place):
    log = await place.log()
    lost = [other(n) for n in range(4)]
    await place.fill(log + lost)
    lived = place.bench.writer.incarnation
    async with place.leading() as relay:

        async def stopped() -> bool:
            return "stream_ahead" in (relay.problem or "")

        await until(stopped)
        begun = await place.rebuild(wait_s=10)
        assert begun == Incarnation(max(lived, 1) + 1, len(log) + 1)
        assert place.kept == lost
        await until(lambda: is_copied(place))

        async def well() -> bool:
            return relay.problem is None  # it hears later than we see

        await until(well)
    first, held = await place.stream()
    now = await place.log()
    assert (first, held) == (len(log) + 1, now[len(log) :])
    started = orjson.loads(now[-1])
    assert started["type"] == "IncarnationStarted"
    assert started["data"]["first_position"] == len(log) + 1
    assert begun in await incarnations(place.reading, 0, 1, begun.number)
    whole = WholeLog()
    for body in now:
        whole.apply(orjson.loads(body))
    assert whole.finish() == []


async def is_copied(place: Place) -> bool:
    first, held = await place.stream()
    return held != [] and held == (await place.log())[first - 1 :]


async def test_without_a_leader_nothing_is_lost_and_a_repeat_finishes_it(place):
    log = await place.log()
    lost = [other(n) for n in range(3)]
    await place.fill(log + lost)
    with pytest.raises(TimeoutError):
        await place.rebuild(wait_s=0.3)
    assert await place.stream() == (1, log + lost)
    found = await compare(place.js, place.reading, 0)
    assert found.wanted is not None, "it says so on the stream"
    async with place.leading():
        assert await place.rebuild(wait_s=10) == found.wanted
        assert place.kept == lost
        await until(lambda: is_copied(place))


async def test_killed_before_the_old_stream_went_a_repeat_begins_no_other_life(place, monkeypatch):
    log = await place.log()
    await place.fill([*log, other(1)])

    async def dies(*_args: object) -> None:
        raise ConnectionError("killed here")

    async with place.leading():
        with monkeypatch.context() as crash:
            crash.setattr(stream_rebuild, "recreate", dies)
            with pytest.raises(ConnectionError):
                await place.rebuild(wait_s=10)
        lived = place.bench.writer.incarnation
        assert await place.rebuild(wait_s=10) == Incarnation(lived, len(log) + 1)
        assert place.bench.writer.incarnation == lived
        await until(lambda: is_copied(place))


async def test_killed_between_the_two_streams_a_repeat_makes_the_new_one(place):
    """The stream that said where both part is gone; the log says it."""
    log = await place.log()
    await place.fill([*log, other(1)])
    async with place.leading():
        found = await compare(place.js, place.reading, 0)
        wanted = found.next(None, None)
        await mark(place.nc, 0, wanted)

        async def begun() -> bool:
            return place.bench.writer.incarnation == wanted.number

        await until(begun)
        await place.js.delete_stream(STREAM)
        assert await place.rebuild(wait_s=10) == wanted
        await until(lambda: is_copied(place))


async def test_an_operator_may_say_from_where_the_log_may_differ(place):
    """The stream was lost with the newer database: nothing is left to compare with."""
    await place.js.delete_stream(STREAM)
    end = len(await place.log())
    lived = place.bench.writer.incarnation
    async with place.leading():
        with pytest.raises(RebuildError, match=f"the log ends at {end}"):
            await place.rebuild(first_position=end + 2)
        with pytest.raises(RebuildError, match="was lived already"):
            await place.rebuild(first_position=end, number=lived)
        begun = await place.rebuild(first_position=end - 2, number=lived + 5, wait_s=10)
        assert begun == Incarnation(lived + 5, end - 2)
        await until(lambda: is_copied(place))
    assert (await place.stream())[0] == end - 2


async def test_a_repeated_command_keeps_the_incarnation_of_its_first_reply(place):
    account = new_id("acct")
    first = (await place.bench.run(command := open_account(account)))[0]
    await place.js.delete_stream(STREAM)
    async with place.leading():
        await place.rebuild(first_position=1, wait_s=10)
    again = await open_bench(place.database.dsn("ledger"))
    (reply, granted) = await again.run(command, grant(account, 1))
    assert reply == first
    assert granted["incarnation"] == first["incarnation"] + 1
    await again.close()


async def test_an_unprovisioned_stream_needs_no_rebuild(database, streams):
    await delete_streams(streams)
    reading = await asyncpg.connect(database.dsn("auditor"))
    async with connected(streams, "provision") as nc:

        async def keep(*_: object) -> int:
            return 0

        with pytest.raises(RebuildError, match="farebox provision"):
            await rebuild(nc, reading, 1, keep=keep, tell=print)
    await reading.close()
