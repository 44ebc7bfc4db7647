"""On a Redis that all gateways share an answer is told again by any of them, and by none without."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from simulators.provider.app import RunningProvider
from tests.support.gateway import (
    DOLLAR,
    running_gateway,
    script,
)
from tests.support.redis_server import RedisServer, needs_redis
from tests.support.repeats import Pair, ask, code, customer, running_pair
from tests.support.waiting import eventually

pytestmark = [needs_redis, pytest.mark.requirement("RSV-3")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
async def the_pair(
    server: RedisServer, the_provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    async with running_pair(
        tmp_path_factory, the_provider.url, redis_url=server.url, idempotency_answer_max=2_000
    ) as pair:
        yield pair


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(server.url)
    await client.flushdb()
    yield client
    await client.aclose()


async def kept(redis: Redis) -> str:
    """The name under which the one answer is kept, once it is."""

    async def names() -> list[bytes]:
        return await redis.keys("farebox:*:answer:*")

    await eventually(names)
    [name] = await names()
    return name.decode()


async def test_another_worker_and_one_that_was_restarted_tell_it_byte_for_byte(
    pair: Pair, redis: Redis, provider: RunningProvider, server: RedisServer, tmp_path: Path
):
    key = customer(pair[0])
    first = await ask(pair[0], key, "once")
    assert first.headers["x-request-id"] in await kept(redis)
    catalogue = pair[0].worker.gateway.catalogue
    async with running_gateway(
        tmp_path, catalogue, pair[0].ledger, redis_url=server.url
    ) as restarted:
        for worker in (pair[1], pair[1], restarted):
            again = await ask(worker, key, "once")
            assert (again.status_code, again.content) == (200, first.content)
            assert again.headers["idempotent-replayed"] == "true"
            for name in ("x-request-id", "farebox-charged", "farebox-route", "content-type"):
                assert again.headers[name] == first.headers[name]
            assert code(await ask(worker, key, "once", user="me")) == (422, "idempotency_mismatch")
    assert len(provider.record.calls) == len(pair[0].ledger.events("CreditsReserved")) == 1


async def test_answers_are_kept_for_a_day_and_no_longer(pair: Pair, redis: Redis):
    key = customer(pair[0])
    await ask(pair[0], key, "once")
    assert 0 < await redis.pttl(await kept(redis)) <= 24 * 3600 * 1000


async def test_too_large_an_answer_is_kept_nowhere(
    pair: Pair, redis: Redis, provider: RunningProvider
):
    key = customer(pair[0])
    script(provider, words=500)
    first = await ask(pair[0], key, "large")
    assert len(first.content) > 2_000
    await ask(pair[0], key, "small")
    assert first.headers["x-request-id"] not in await kept(redis)
    for worker in pair:
        assert code(await ask(worker, key, "large")) == (409, "idempotency_not_replayable")


async def test_without_redis_nothing_is_charged_twice(
    pair: Pair, redis: Redis, server: RedisServer, provider: RunningProvider
):
    key = customer(pair[0])
    server.kill()
    try:
        assert (await ask(pair[0], key, "once")).status_code == 200
        assert code(await ask(pair[1], key, "once")) == (409, "idempotency_not_replayable")
        assert (await ask(pair[0], key, "once")).headers["idempotent-replayed"] == "true"
    finally:
        server.start()
    assert len(provider.record.calls) == len(pair[0].ledger.events("CreditsCharged")) == 1


async def test_connections_that_redis_closed_meanwhile_cost_no_answer(pair: Pair, redis: Redis):
    """As after a restart, or by its `timeout` for idle clients."""
    key = customer(pair[0])
    await ask(pair[0], key, "one")
    await kept(redis)
    assert (await ask(pair[1], key, "one")).status_code == 200
    await redis.client_kill_filter(_type="normal", skipme=True)
    first = await ask(pair[0], key, "two")

    async def two_are_kept() -> bool:
        return len(await redis.keys("farebox:*:answer:*")) == 2

    await eventually(two_are_kept)
    assert (await ask(pair[1], key, "two")).content == first.content


async def test_an_operator_may_keep_answers_off_redis(
    pair: Pair, redis: Redis, server: RedisServer, tmp_path: Path
):
    ledger, catalogue = pair[0].ledger, pair[0].worker.gateway.catalogue
    key = ledger.key(ledger.account(DOLLAR))
    async with running_gateway(
        tmp_path, catalogue, ledger, redis_url=server.url, idempotency_on_redis=False
    ) as discreet:
        assert (await ask(discreet, key, "mine")).status_code == 200
        await ask(pair[0], key, "other")
        assert len(await redis.keys("farebox:*:answer:*")) <= 1
    name = await kept(redis)
    reserved = {event["res"]: event for event in ledger.events("CreditsReserved")}
    assert list(reserved).index(name.rpartition(":")[2]) == 1
