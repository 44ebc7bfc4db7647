"""Gateways that share a Redis share their limits, and lose nothing but that when it dies."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from libs.catalogue import Limits
from libs.runtime.clock import SystemClock
from services.gateway.limits import shared as shared_module
from services.gateway.limits.buckets import Buckets
from services.gateway.limits.limiter import Limiter, open_limiter
from services.gateway.limits.rate import standing
from services.gateway.limits.shared import LEASE_MS
from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE, NO_LIMITS
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    catalogue_for,
    running_gateway,
    until,
)
from tests.support.redis_server import RedisServer, needs_redis
from tests.support.waiting import eventually

pytestmark = [needs_redis, pytest.mark.requirement("LIM-1", "LIM-2")]

FEW = Limits(requests=4, per_ms=60_000, concurrent=2)
MANY = Limits(requests=1_000_000, per_ms=1_000, concurrent=2)
TEXT = EXAMPLE.replace(NO_LIMITS, 'limits = { requests = 4, per = "60s", concurrent = 2 }')
PATIENT_S = 10.0
SOON_S = 0.25
"""Of who tests that Redis is silent; a slow machine is not."""


@pytest.fixture(scope="module")
def the_server(tmp_path_factory: pytest.TempPathFactory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def server(the_server: RedisServer):
    """A Redis that runs, whatever the test before has done to it."""
    yield the_server
    the_server.stop()
    the_server.start()


@pytest.fixture
async def redis(the_server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(the_server.url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def two(the_server: RedisServer, redis: Redis) -> AsyncIterator[tuple[Limiter, Limiter]]:
    async with (
        open_limiter(SystemClock(), the_server.url, timeout_s=PATIENT_S) as one,
        open_limiter(SystemClock(), the_server.url, timeout_s=PATIENT_S) as other,
    ):
        await until(lambda: up(one) and up(other))
        yield one, other


def up(limiter: Limiter) -> bool:
    return limiter.shared is not None and limiter.shared.up


async def places(redis: Redis, account_id: str = "a") -> list[bytes]:
    return sorted(await redis.zrange(f"farebox:{{{account_id}}}:places", 0, -1))


async def let_in(limiter: Limiter, limits: Limits, name: str):
    return await limiter.admit("a", limits, name)


@given(
    st.builds(Limits, st.integers(1, 9), st.integers(1_000, 100_000), st.just(0)),
    st.lists(st.integers(0, 60_000) | st.integers(-20, 50), max_size=25),
)
def test_the_script_counts_as_the_memory_does(
    the_server: RedisServer, limits: Limits, steps: list[int]
):
    """The same requests at the same moments, also when the server's clock goes back."""
    text = shared_module._ADMISSION.replace("redis.call('TIME')", "{ARGV[6], ARGV[7]}")
    # The server's own clock, by which keys expire, is not the one that is told here.
    text = text.replace("math.ceil(debt / requests) + 1", "600000")
    buckets, now_ms = Buckets(), 1_700_000_000_000
    with SyncRedis.from_url(the_server.url) as client:
        client.flushdb()
        for step in steps:
            now_ms += step
            time = (now_ms // 1000, now_ms % 1000 * 1000 + 999)
            terms = (limits.requests, limits.per_ms, 0, "r", LEASE_MS, *time)
            code, debt = client.eval(text, 2, "rate", "places", *terms)
            found = standing(limits, debt, allowed=not code)
            assert found == buckets.take("a", limits, now_ms)
            assert code == (1 if found.wait_ms else 0)


class TestTogether:
    async def test_two_gateways_count_as_one(self, two: tuple[Limiter, Limiter]):
        free = Limits(FEW.requests, FEW.per_ms, 0)
        found = [await let_in(two[n % 2], free, f"r{n}") for n in range(6)]
        assert [one.refused for one in found] == [None] * 4 + ["rate"] * 2
        assert [one.standing.remaining for one in found] == [3, 2, 1, 0, 0, 0]
        assert 14_000 < found[-1].standing.wait_ms <= 15_000
        assert found[3].standing.reset_ms <= 60_000

    async def test_requests_at_once_are_counted_together(
        self, two: tuple[Limiter, Limiter], redis: Redis
    ):
        first, second, third = [await let_in(two[n % 2], FEW, f"r{n}") for n in range(3)]
        assert [first.refused, second.refused, third.refused] == [None, None, "concurrent"]
        assert third.standing.remaining == 2, "it does not count for the rate"
        first.slot.give_back()
        first.slot.give_back()
        assert (await let_in(two[1], FEW, "r4")).refused is None
        assert await places(redis) == [b"r1", b"r4"]

    async def test_a_crowd_at_the_same_moment_passes_neither_limit(
        self, two: tuple[Limiter, Limiter]
    ):
        limits = Limits(1000, 60_000, 7)
        asked = [let_in(two[n % 2], limits, f"r{n}") for n in range(300)]
        found = await asyncio.gather(*asked)
        assert [one.refused for one in found].count(None) == 7
        assert {one.refused for one in found} == {None, "concurrent"}

    async def test_a_caller_that_goes_while_redis_is_asked_leaves_no_place(
        self, two: tuple[Limiter, Limiter], redis: Redis
    ):
        one = two[0]
        asking = asyncio.create_task(let_in(one, FEW, "gone"))
        await asyncio.sleep(0)  # it has asked, and has no answer yet
        asking.cancel()
        await asyncio.wait({asking})
        assert (await let_in(one, FEW, "stays")).refused is None
        await let_in(one, FEW, "last")
        assert await places(redis) == [b"last", b"stays"]
        assert sorted(one.slots.all()) == [("a", "last"), ("a", "stays")]

    async def test_the_places_of_a_killed_gateway_come_back(
        self, two: tuple[Limiter, Limiter], redis: Redis, monkeypatch: pytest.MonkeyPatch
    ):
        """What it had is a lease: with nobody to renew it, it ends."""
        one, other = two
        monkeypatch.setattr(shared_module, "LEASE_MS", 200)
        one.shared._held = list  # from now on it renews nothing, as if it were dead
        for name in ("x", "y"):
            assert (await let_in(one, MANY, name)).refused is None
        assert (await let_in(other, MANY, "z")).refused == "concurrent"

        async def free() -> bool:
            return (await let_in(other, MANY, "z")).refused is None

        await eventually(free)

    async def test_a_running_request_keeps_its_place(
        self, two: tuple[Limiter, Limiter], redis: Redis
    ):
        await let_in(two[0], FEW, "long")
        await redis.zadd("farebox:{a}:places", {"long": 1})  # as if its lease were over
        two[0].shared._keep()
        await let_in(two[0], FEW, "next")
        assert await places(redis) == [b"long", b"next"]
        assert LEASE_MS - 5_000 < await redis.pttl("farebox:{a}:places") <= LEASE_MS

    async def test_nothing_is_kept_for_ever(self, two: tuple[Limiter, Limiter], redis: Redis):
        await let_in(two[0], FEW, "r")
        names = await redis.keys("*")
        assert {b"farebox:{a}:rate:4/60000", b"farebox:{a}:places"} <= set(names)
        gone = -2  # what the gateways probe with lives for a moment only
        for name in names:
            left = await redis.pttl(name)
            assert left == gone or 0 <= left <= 60_001


class TestAway:
    async def test_a_kill_costs_no_request_and_a_restart_shares_again(
        self, two: tuple[Limiter, Limiter], server: RedisServer, redis: Redis
    ):
        one, other = two
        running = await let_in(one, FEW, "running")
        server.kill()
        found = [await let_in(one, FEW, f"r{n}") for n in range(2)]
        assert [each.refused for each in found] == [None, "concurrent"], "its own, from there on"
        assert found[0].standing.remaining == 2
        assert not up(one)
        assert (await let_in(other, FEW, "elsewhere")).standing.remaining == 3
        server.start()
        await until(lambda: up(one) and up(other))
        await redis.connection_pool.disconnect()
        assert await places(redis) == [b"elsewhere", b"r0", b"running"], "all were told again"
        running.slot.give_back()
        found[0].slot.give_back()

        async def given_back() -> bool:
            return await places(redis) == [b"elsewhere"]

        await eventually(given_back)

    async def test_a_redis_that_falls_silent_is_waited_for_once(
        self, server: RedisServer, redis: Redis
    ):
        async with open_limiter(SystemClock(), server.url, timeout_s=SOON_S) as one:
            await until(lambda: up(one))
            await self._falls_silent(one, server, redis)

    async def _falls_silent(self, one: Limiter, server: RedisServer, redis: Redis) -> None:
        server.signal(signal.SIGSTOP)
        crowd = await asyncio.gather(*(let_in(one, FEW, f"r{n}") for n in range(20)))
        assert [each.refused for each in crowd].count(None) == 2
        assert not up(one)
        asked: list[object] = []
        one.shared._line.ask = lambda *command: asked.append(command)
        assert (await let_in(one, FEW, "later")).refused == "concurrent"
        assert asked == [], "no request waits for it twice"
        del one.shared._line.ask
        for each in crowd:
            each.slot.give_back()
        server.signal(signal.SIGCONT)
        await until(lambda: up(one))

        async def nobody() -> bool:
            return await places(redis) == []

        await eventually(nobody)

    @pytest.mark.parametrize("trouble", ["read only", "other data", "scripts lost"])
    async def test_a_redis_that_answers_errors_is_away(
        self, two: tuple[Limiter, Limiter], redis: Redis, trouble: str
    ):
        one, _ = two
        if trouble == "read only":
            await redis.replicaof("127.0.0.1", 1)
        elif trouble == "other data":
            await redis.hset("farebox:{a}:rate:4/60000", mapping={"x": 1})
        else:
            await redis.script_flush()
        try:
            assert (await let_in(one, FEW, "r")).refused is None
            assert not up(one)
        finally:
            await redis.replicaof("NO", "ONE")
            await redis.flushdb()
        await until(lambda: up(one))
        assert (await let_in(one, FEW, "s")).refused is None

    async def test_a_gateway_starts_without_it(self, server: RedisServer, redis: Redis):
        server.kill()
        async with open_limiter(SystemClock(), server.url, timeout_s=PATIENT_S) as limiter:
            found = [await let_in(limiter, FEW, f"r{n}") for n in range(3)]
            assert [one.refused for one in found] == [None, None, "concurrent"]
            server.start()
            await until(lambda: up(limiter))


async def test_two_workers_refuse_as_one_and_a_dead_redis_is_no_error(
    tmp_path: Path, provider: RunningProvider, server: RedisServer, redis: Redis
):
    """Over HTTP: the fifth request of a minute, whichever worker has it."""
    ledger, catalogue = GatewayLedger(), catalogue_for(provider.url, TEXT)
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    settings = {"redis_url": server.url}
    async with (
        running_gateway(tmp_path / "1", catalogue, ledger, **settings) as one,
        running_gateway(tmp_path / "2", catalogue, ledger, **settings) as other,
    ):
        workers: list[RunningGateway] = [one, other]
        await until(lambda: all(up(each.worker.limiter) for each in workers))
        answers = [await workers[n % 2].chat(key) for n in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429]
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == [
            "3", "2", "1", "0", "0",
        ]  # fmt: skip
        assert ledger.tries.count("Reserve") == len(provider.record.calls) == 4
        server.kill()
        answers = [await workers[n % 2].chat(key) for n in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert ledger.reserved(account) == 0
