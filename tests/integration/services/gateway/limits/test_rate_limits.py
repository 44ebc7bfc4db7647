"""What an account meets that calls too fast: a 429 that changed nothing and says when to come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import openai
import pytest

from services.gateway import paid
from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE, NO_LIMITS
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
    until,
)

HELLO = [{"role": "user", "content": "Hello"}]
SOON = 'limits = { requests = 4, per = "60s", concurrent = 2 }'
LATE = 'limits = { requests = 1, per = "10m", concurrent = 2 }'
TOML = EXAMPLE.replace(NO_LIMITS, SOON, 1).replace(NO_LIMITS, LATE)
SETTINGS = {"billing_requests_per_minute": 2, "drain_max_s": 0.1}


def limits_of(answer: httpx.Response) -> tuple[str, ...]:
    names = ("limit", "remaining", "reset")
    return tuple(answer.headers[f"x-ratelimit-{name}-requests"] for name in names)


@pytest.mark.requirement("LIM-1")
class TestRate:
    async def test_every_answer_says_what_is_left(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(DOLLAR))
        assert limits_of(await gateway.chat(key))[:2] == ("4", "3")
        async with gateway.chat_stream(key) as stream:
            await stream.aread()
        assert limits_of(stream)[:2] == ("4", "2")
        assert limits_of(await gateway.chat(key, model="nothing"))[:2] == ("4", "1")

    async def test_above_it_a_request_changes_nothing(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        account = ledger.account(DOLLAR)
        key = ledger.key(account)
        for _ in range(4):
            assert (await gateway.chat(key)).status_code == 200
        before = (len(ledger.rules.events), list(ledger.tries), ledger.available(account))
        answer = await gateway.chat(key)
        assert answer.status_code == 429
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        assert "4 requests per 60 s" in error["message"]
        assert limits_of(answer)[:2] == ("4", "0")
        wait_ms = int(answer.headers["retry-after-ms"])
        assert 10_000 < wait_ms <= 15_000
        assert int(answer.headers["retry-after"]) == -(-wait_ms // 1000)
        assert before == (len(ledger.rules.events), ledger.tries, ledger.available(account))
        assert len(provider.record.calls) == 4

    async def test_it_is_the_accounts_whatever_the_key(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        account = ledger.account(DOLLAR)
        one, other = ledger.key(account), ledger.key(account)
        statuses = [(await gateway.chat(key)).status_code for key in [one, other] * 3]
        assert statuses == [200] * 4 + [429] * 2
        assert (await gateway.chat(ledger.key(ledger.account(DOLLAR)))).status_code == 200

    async def test_a_refused_body_is_not_read(self, gateway: RunningGateway, ledger: GatewayLedger):
        key = ledger.key(ledger.account(DOLLAR))
        for _ in range(4):
            await gateway.chat(key)
        async with connection(gateway) as (reader, writer):
            writer.write(head(key, 5000))  # no byte of the body follows
            assert b" 429 " in await reader.readline()

    async def test_the_sdk_waits_as_told(self, gateway: RunningGateway, ledger: GatewayLedger):
        key = ledger.key(ledger.account(DOLLAR))
        async with gateway.sdk(key) as client:
            for _ in range(4):
                await client.chat.completions.create(model="swift-1", messages=HELLO)
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model="swift-1", messages=HELLO)
        assert caught.value.code == "rate_limit_exceeded"

    async def test_a_long_wait_is_not_waited_for(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        key = ledger.key(ledger.account(3 * DOLLAR, unit="CREDIT", plan="studio"))
        first = await score(gateway, key)
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"requests";q=1;w=600'
        assert first.headers["ratelimit"] == '"requests";r=0;t=600'
        second = await score(gateway, key)
        assert second.status_code == 429
        assert second.headers["x-should-retry"] == "false"
        assert "retry-after" not in second.headers
        assert second.headers["ratelimit"].startswith('"requests";r=0;t=')
        assert len(provider.record.calls) == 1

    async def test_billing_has_a_rate_of_its_own(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        account = ledger.account(DOLLAR)
        headers = {"authorization": f"Bearer {ledger.key(account)}"}
        answers = [await gateway.http.get("/billing/v1/prices", headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
        assert answers[2].headers["content-type"] == "application/problem+json"
        assert answers[2].json()["code"] == "rate_limit_exceeded"
        assert answers[2].headers["retry-after"] == "30"
        assert (await gateway.chat(headers["authorization"][7:])).headers[
            "x-ratelimit-remaining-requests"
        ] == "3"

    async def test_a_service_that_reserves_for_others_has_none(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(DOLLAR), purpose="service")
        headers = {"authorization": f"Bearer {key}"}
        for _ in range(4):
            answer = await gateway.http.get("/billing/v1/prices", headers=headers)
            assert answer.status_code != 429


@pytest.mark.requirement("LIM-2")
class TestAtOnce:
    async def test_above_the_cap_a_request_changes_nothing(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        key = ledger.key(ledger.account(DOLLAR))
        gate = ledger.held["Settle"] = asyncio.Event()
        running = [asyncio.create_task(gateway.chat(key)) for _ in range(2)]
        await until(lambda: ledger.tries.count("Settle") == 2)
        answer = await gateway.chat(key)
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "concurrency_exceeded"
        assert answer.headers["retry-after"] == "1"
        assert limits_of(answer)[:2] == ("4", "2"), "it does not count for the rate"
        assert ledger.tries.count("Reserve") == len(provider.record.calls) == 2
        gate.set()
        assert [(await one).status_code for one in running] == [200, 200]
        assert (await gateway.chat(key)).status_code == 200

    async def test_a_place_is_kept_while_the_upstream_is_read_for_a_client_that_went(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        key = ledger.key(ledger.account(DOLLAR))
        script(provider, words=30, hold_after_chunks=5)
        gate = ledger.held["Settle"] = asyncio.Event()
        async with gateway.chat_stream(key) as stream:
            await anext(stream.aiter_bytes())
        await until(lambda: "Settle" in ledger.tries)
        assert taken(gateway) == 1
        gate.set()
        await until(lambda: not taken(gateway))

    @pytest.mark.parametrize("ends", ["well", "refused", "unknown_model", "bad_body", "provider",
                                      "slow_body", "gone_in_body", "gone_in_stream",
                                      "dies_in_stream", "ledger_away"])  # fmt: skip
    async def test_a_place_is_given_back_however_a_request_ends(
        self,
        gateway: RunningGateway,
        ledger: GatewayLedger,
        provider: RunningProvider,
        ends: str,
    ):
        key = ledger.key(ledger.account(0 if ends == "refused" else DOLLAR))
        seen = watching(gateway)
        await ENDS[ends](gateway, ledger, provider, key)
        await until(lambda: not taken(gateway))
        assert seen == [1], "it had a place"


def taken(gateway: RunningGateway) -> int:
    return gateway.worker.limiter.slots.total()


def watching(gateway: RunningGateway) -> list[int]:
    """What is taken right after each admission from now on."""
    seen: list[int] = []
    slots = gateway.worker.limiter.slots
    original = type(slots).take

    def take(account_id: str, request_id: str) -> None:
        original(slots, account_id, request_id)
        seen.append(slots.total())

    slots.take = take
    return seen


def head(key: str, length: int) -> bytes:
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def connection(
    gateway: RunningGateway,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def score(gateway: RunningGateway, key: str) -> httpx.Response:
    return await gateway.http.post(
        "/v1/score-image", json={"image": "x"}, headers={"x-api-key": key}
    )


async def ends_well(gateway, ledger, provider, key):
    assert (await gateway.chat(key)).status_code == 200


async def ends_refused(gateway, ledger, provider, key):
    assert (await gateway.chat(key)).status_code == 402


async def ends_unknown_model(gateway, ledger, provider, key):
    assert (await gateway.chat(key, model="nothing")).status_code == 404


async def ends_bad_body(gateway, ledger, provider, key):
    headers = {"authorization": f"Bearer {key}"}
    answer = await gateway.http.post("/v1/chat/completions", content=b"{", headers=headers)
    assert answer.status_code == 400


async def ends_provider(gateway, ledger, provider, key):
    script(provider, status=500)
    assert (await gateway.chat(key)).status_code == 502


async def ends_slow_body(gateway, ledger, provider, key):
    patient = paid.read_body

    async def read_body(*request, limit, timeout_s):
        return await patient(*request, limit=limit, timeout_s=0.1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paid, "read_body", read_body)  # of this request alone
        async with connection(gateway) as (reader, writer):
            writer.write(head(key, 10))
            assert b" 408 " in await reader.readline()


async def ends_gone_in_body(gateway, ledger, provider, key):
    async with connection(gateway) as (_, writer):
        writer.write(head(key, 10) + b"{")
        await until(lambda: taken(gateway))


async def ends_gone_in_stream(gateway, ledger, provider, key):
    script(provider, words=30, hold_after_chunks=5)
    async with gateway.chat_stream(key) as stream:
        await anext(stream.aiter_bytes())


async def ends_dies_in_stream(gateway, ledger, provider, key):
    script(provider, words=30, die_after_chunks=5)
    async with gateway.chat_stream(key) as stream:
        assert b'"error"' in await stream.aread()


async def ends_ledger_away(gateway, ledger, provider, key):
    ledger.unheard = {"Reserve"}
    assert (await gateway.chat(key)).status_code == 503


ENDS: dict[str, Callable] = {
    name.removeprefix("ends_"): ends
    for name, ends in list(globals().items())
    if name.startswith("ends_")
}
