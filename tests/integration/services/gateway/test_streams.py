"""A paid stream: every byte passes, the last event waits for the settlement."""

import asyncio

import httpx
import openai
import orjson
import pytest

from libs.catalogue import charge_nanos
from services.gateway.pieces import MOST_BYTES
from simulators.provider.app import RunningProvider
from tests.support.gateway import DOLLAR, GatewayLedger, RunningGateway, all_closed, script, until

pytestmark = pytest.mark.requirement("RSV-2")

READ_MAX = 4 * 64 * 1024
HELLO = [{"role": "user", "content": "Hello"}]
DONE = b"data: [DONE]\n\n"


async def whole(gateway: RunningGateway, key: str, **fields) -> bytes:
    async with gateway.chat_stream(key, **fields) as answer:
        assert answer.status_code == 200
        return await answer.aread()


async def direct(provider: RunningProvider, **fields) -> bytes:
    body = {"model": "swift-1", "messages": HELLO, "stream": True, "max_completion_tokens": 4096}
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{provider.url}/v1/chat/completions",
            json=body | fields,
            headers={"authorization": f"Bearer {provider.key}"},
        )
    return answer.content.replace(b"sim2", b"sim1")


@pytest.mark.requirement("PRC-4", "PRC-1")
async def test_the_sdk_streams_and_is_charged_what_was_used(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=9)
    async with gateway.sdk(ledger.key(account)) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="swift-1", messages=HELLO, stream=True
            )
        ]
    assert len("".join(c.choices[0].delta.content or "" for c in chunks).split()) == 9
    # The usage that only we asked for is not shown to a client that did not ask.
    assert all(chunk.usage is None for chunk in chunks)
    usage = provider.record.calls[0].usage
    cost = usage["prompt_tokens"] * 250_000 + 9 * 2_000_000
    assert ledger.available(account) == DOLLAR - charge_nanos(cost, 1000, "USD")
    assert provider.record.calls[0].body["stream_options"] == {"include_usage": True}


async def test_usage_reaches_a_client_that_asked_for_it(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    async with gateway.sdk(key) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="swift-1",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    assert [chunk for chunk in chunks if chunk.usage is not None] == [chunks[-1]]
    assert chunks[-1].choices == []


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("split", [None, 1, 3, 7, 64])
async def test_every_byte_passes_however_it_was_cut(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, crlf, split
):
    key = ledger.key(ledger.account(DOLLAR))
    asked = {"stream_options": {"include_usage": True}}
    script(provider, times=2, crlf=crlf, split_bytes=split, words=12)
    through = await whole(gateway, key, **asked)
    assert through == await direct(provider, **asked)


@pytest.mark.parametrize("crlf", [False, True])
async def test_only_the_injected_usage_event_is_left_out(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, crlf
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, times=2, crlf=crlf, words=4)
    through = await whole(gateway, key)
    complete = await direct(provider, stream_options={"include_usage": True})
    end = b"\r\n\r\n" if crlf else b"\n\n"
    events = complete.split(end)
    [usage] = [event for event in events if b'"choices": []' in event]
    events.remove(usage)
    assert through == end.join(events)


async def test_the_headers_say_what_is_known_before_the_end(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    async with gateway.chat_stream(key, max_tokens=20) as answer:
        headers = answer.headers
        await answer.aread()
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["farebox-max-output-tokens"] == "20"
    assert headers["farebox-route"] == "north/swift-1"
    assert headers["farebox-request-id"] == headers["x-request-id"]
    assert headers["farebox-reserved"].startswith("0.000")
    assert "farebox-charged" not in headers


@pytest.mark.requirement("RSV-6")
async def test_the_last_event_waits_for_the_settlement(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    gate = ledger.held["Settle"] = asyncio.Event()
    seen = bytearray()
    reading = asyncio.create_task(read_into(seen, gateway, key))
    await until(lambda: "Settle" in ledger.tries and b'"finish_reason": "stop"' in seen)
    done, _ = await asyncio.wait({reading}, timeout=0.1)
    assert not done
    assert b"[DONE]" not in seen
    gate.set()
    await reading
    assert seen.endswith(DONE)


async def read_into(seen: bytearray, gateway: RunningGateway, key: str) -> None:
    async with gateway.chat_stream(key) as answer:
        async for piece in answer.aiter_bytes():
            seen += piece


async def read_all(pieces) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("style", ["duplicate", "unasked", "running"])
async def test_usage_is_read_however_the_provider_tells_it(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, style: str
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, usage=style, words=11)
    text = await whole(gateway, key)
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "actual"
    assert charged["usage"]["output_tokens"] == 11
    # Usage that rides on a chunk with text is not ours to take out.
    assert (b'"usage": {' in text) == (style == "running")


@pytest.mark.parametrize("style", ["none", "null"])
async def test_a_stream_without_usage_is_estimated_and_flagged(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, style: str
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, usage=style, words=40)
    text = await whole(gateway, key)
    [charged] = ledger.events("CreditsCharged")
    said = b"".join(
        orjson.loads(event[6:])["choices"][0]["delta"].get("content", "").encode()
        for event in text.split(b"\n\n")
        if event and b"[DONE]" not in event and b'"choices": []' not in event
    )
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] == -(-len(said) * 11 // 40)


async def test_a_stream_that_ends_in_order_without_done_is_complete(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, done=False)
    assert b"[DONE]" not in await whole(gateway, key)
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "actual"


@pytest.mark.parametrize("after", [1, 2, 10, 24])
async def test_a_stream_that_dies_costs_nothing_and_says_so(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, after: int
):
    account = ledger.account(DOLLAR)
    script(provider, die_after_chunks=after)
    async with gateway.sdk(ledger.key(account)) as client:
        with pytest.raises(openai.APIError) as caught:
            async for _ in await client.chat.completions.create(
                model="swift-1", messages=HELLO, stream=True
            ):
                pass
    assert caught.value.code == "upstream_interrupted"
    assert ledger.available(account) == DOLLAR
    assert ledger.events("CreditsReleased")[0]["reason_code"] == "upstream_interrupted"


async def test_a_stream_that_dies_before_its_first_event_is_a_502(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, die_after_chunks=0)
    answer = await gateway.chat(ledger.key(account), stream=True)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_interrupted"
    assert answer.headers["farebox-charged"] == "0.00"
    assert ledger.available(account) == DOLLAR


@pytest.mark.parametrize("after", [0, 1, 5, 23])
async def test_a_client_that_goes_is_charged_once_for_what_was_used(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, after: int
):
    account = ledger.account(DOLLAR)
    script(provider, words=30, hold_after_chunks=after + 1)
    async with gateway.chat_stream(ledger.key(account)) as answer:
        await anext(answer.aiter_bytes())
        await until(lambda: provider.record.calls[0].chunks > after)
        [exchange] = gateway.worker.pumps.exchanges()
    await until(lambda: exchange.gone)
    provider.record.release()
    await all_closed(ledger)
    assert ledger.kinds() == ["Reserve", "Settle"]
    usage = provider.record.calls[0].usage
    cost = usage["prompt_tokens"] * 250_000 + 30 * 2_000_000
    assert ledger.available(account) == DOLLAR - charge_nanos(cost, 1000, "USD")
    assert provider.record.calls[0].outcome == "complete"


async def test_a_client_that_goes_before_the_provider_is_called_pays_nothing(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    gate = ledger.held["Reserve"] = asyncio.Event()
    request = asyncio.create_task(whole(gateway, key))
    await until(lambda: "Reserve" in ledger.tries)
    [exchange] = gateway.worker.pumps.exchanges()
    request.cancel()
    await asyncio.wait({request})
    await until(lambda: exchange.gone)
    gate.set()
    await all_closed(ledger)
    assert ledger.kinds() == ["Reserve", "Release"]
    assert provider.record.calls == []
    assert ledger.available(account) == DOLLAR


async def test_a_slow_reader_does_not_fill_the_memory(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    """While nobody reads, the provider is not read either."""
    key = ledger.key(ledger.account(100 * DOLLAR))
    script(provider, words=8000, word_bytes=4096, ignore_cap=True)
    async with gateway.chat_stream(key) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        [exchange] = gateway.worker.pumps.exchanges()
        await until(lambda: exchange.full)
        call = provider.record.calls[0]
        assert call.outcome == "open"
        assert call.chunks < 8000
        # A read of the upstream at most comes on top.
        assert MOST_BYTES <= exchange.waiting < MOST_BYTES + READ_MAX
        rest = await read_all(pieces)
    assert rest.endswith(DONE)
    assert ledger.events("CreditsCharged")[0]["usage"]["output_tokens"] == 8000


async def test_a_json_answer_to_a_stream_request_is_passed_whole(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, status=400)
    answer = await gateway.chat(ledger.key(account), stream=True)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "provider_error"
    assert ledger.available(account) == DOLLAR
