"""Anthropic messages: paid as they are used, told as Anthropic tells them, byte for byte."""

import asyncio

import httpx
import pytest

from libs.catalogue import charge_nanos
from libs.runtime import metrics
from tests.support.catalogue import ANTHROPIC
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    all_closed,
    script,
    until,
)

pytestmark = pytest.mark.requirement("PRC-4")

HELLO = [{"role": "user", "content": "Hello"}]
VERSION = "2023-06-01"
PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
TOML = ANTHROPIC
STOP = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'


@pytest.fixture
def account(gateway: RunningGateway, ledger: GatewayLedger) -> str:
    return ledger.account(DOLLAR)


@pytest.fixture
def key(ledger: GatewayLedger, account: str) -> str:
    return ledger.key(account)


def asked(key: str, path: str = PATH, headers: dict | None = None, **fields) -> dict:
    body = {"model": "verse-1", "max_tokens": 200, "messages": HELLO} | fields
    if path == COUNT:
        del body["max_tokens"]
    return {
        "method": "POST",
        "url": path,
        "json": body,
        "headers": {"x-api-key": key, "anthropic-version": VERSION, **(headers or {})},
    }


async def ask(gateway: RunningGateway, key: str, **fields) -> httpx.Response:
    return await gateway.http.request(**asked(key, **fields))


def charge(*, fresh: int, read: int = 0, minutes: int = 0, hour: int = 0, output: int) -> int:
    cost = fresh * 3_000_000 + read * 300_000 + minutes * 3_750_000 + hour * 6_000_000
    return charge_nanos(cost + output * 15_000_000, 1000, "USD")


def error(answer: httpx.Response) -> dict:
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]
    return body["error"]


@pytest.mark.requirement("PRC-1")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("style", ["normal", "brief", "running", "duplicate"])
async def test_each_kind_of_token_is_charged_once(
    gateway, ledger, provider, account, key, style: str, stream: bool
):
    kinds = {"cached_tokens": 30, "cache_write_tokens": 20, "cache_write_1h_tokens": 10}
    script(provider, words=9, prompt_tokens=100, usage=style, **kinds)
    cache = {"type": "ephemeral", "ttl": "1h"}
    answer = await ask(gateway, key, stream=stream, cache_control=cache)
    assert answer.status_code == 200
    paid = charge(fresh=40, read=30, minutes=20, hour=10, output=9)
    assert ledger.available(account) == DOLLAR - paid
    [settled] = ledger.events("CreditsCharged")
    assert settled["basis"] == "actual"
    assert settled["finish"] == "end_turn"
    assert settled["usage"] == {
        "input_tokens": 100, "cached_tokens": 30, "output_tokens": 9,
        "cache_write_tokens": 20, "cache_write_1h_tokens": 10,
    }  # fmt: skip


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("split", [None, 1, 7])
async def test_every_byte_of_a_stream_passes(gateway, provider, key, crlf, split):
    script(provider, times=2, crlf=crlf, split_bytes=split, words=5, tool=True)
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    through = await ask(gateway, key, stream=True, tools=tools)
    direct = asked(provider.key, stream=True, tools=tools, model="verse-1-b")
    async with httpx.AsyncClient(base_url=provider.url) as client:
        answer = await client.request(**direct)
    assert through.content == answer.content.replace(b"sim2", b"sim1")


async def test_a_whole_answer_passes_as_it_is(gateway, provider, key):
    answer = await ask(gateway, key)
    call = provider.record.calls[0]
    assert answer.json()["usage"] == call.usage
    assert call.body == {"model": "verse-1-b", "max_tokens": 200, "messages": HELLO}
    assert answer.headers["farebox-max-output-tokens"] == "200"
    assert answer.headers["request-id"] == answer.headers["farebox-request-id"]


async def test_our_key_goes_up_and_the_clients_never_does(gateway, provider, key):
    headers = {"anthropic-beta": "prompt-caching-2024-07-31", "cookie": "c", "x-other": "o"}
    assert (await ask(gateway, key, headers=headers)).status_code == 200
    sent = provider.record.calls[0].headers
    assert sent["x-api-key"] == provider.key
    assert sent["anthropic-version"] == VERSION
    assert sent["anthropic-beta"] == "prompt-caching-2024-07-31"
    assert not {"authorization", "cookie", "x-other"} & sent.keys()
    assert key not in str(sent)


async def test_both_ways_to_give_a_key_work_on_both_dialects(gateway, key):
    bearer = {"authorization": f"Bearer {key}"}
    assert (await ask(gateway, "", headers=bearer)).status_code == 200
    chat = await gateway.http.post(
        "/v1/chat/completions",
        json={"model": "swift-1", "messages": HELLO},
        headers={"x-api-key": key},
    )
    assert chat.status_code == 200


@pytest.mark.requirement("RSV-2")
async def test_the_end_of_a_stream_waits_for_the_settlement(gateway, ledger, key):
    gate = ledger.held["Settle"] = asyncio.Event()
    received = b""
    async with gateway.http.stream(**asked(key, stream=True)) as answer:
        pieces = answer.aiter_raw()
        while b"message_delta" not in received:
            received += await anext(pieces)
        await until(lambda: "Settle" in ledger.tries)
        assert b"message_stop" not in received
        gate.set()
        async for piece in pieces:
            received += piece
    assert received.endswith(STOP)


@pytest.mark.requirement("RSV-2")
@pytest.mark.parametrize(
    "broken", [{"die_after_chunks": 6}, {"error_after_chunks": 6}], ids=["dies", "tells"]
)
async def test_a_provider_that_fails_in_a_stream_is_paid_nothing(
    gateway, ledger, provider, account, key, broken
):
    script(provider, **broken)
    answer = await ask(gateway, key, stream=True)
    assert answer.content.count(b"event: error\n") == 1
    assert b"message_stop" not in answer.content
    assert ledger.available(account) == DOLLAR
    assert ledger.kinds() == ["Reserve", "Release"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("style", ["none", "null", "zero"])
async def test_without_usage_the_estimate_is_charged_and_flagged(
    gateway, ledger, provider, key, style, stream
):
    script(provider, words=8, usage=style)
    assert (await ask(gateway, key, stream=stream)).status_code == 200
    [settled] = ledger.events("CreditsCharged")
    assert settled["basis"] == "estimate"
    assert int(settled["charge"]) > 0


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_served_at_another_price_is_flagged_and_never_free(
    gateway, ledger, provider, key, stream
):
    counted = metrics.counter("answers_priced_otherwise_total", "")
    before = counted.value
    script(provider, words=9, prompt_tokens=100, geo="us")
    assert (await ask(gateway, key, stream=stream)).status_code == 200
    [settled] = ledger.events("CreditsCharged")
    assert settled["basis"] == "estimate"
    assert int(settled["charge"]) == charge(fresh=100, output=9)
    assert counted.value == before + 1


async def test_a_client_that_goes_pays_for_what_was_used(gateway, ledger, provider, account, key):
    script(provider, words=9, prompt_tokens=100, hold_after_chunks=5)
    async with gateway.http.stream(**asked(key, stream=True)) as answer:
        await anext(answer.aiter_raw())
    provider.record.release()
    await all_closed(ledger)
    assert ledger.available(account) == DOLLAR - charge(fresh=100, output=9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "status", "kind", "code"),
        [
            ({"inference_geo": "us"}, 400, "invalid_request_error", "unsupported_parameter"),
            ({"messages": []}, 400, "invalid_request_error", "invalid_value"),
            ({"model": "free-lunch"}, 404, "not_found_error", "model_not_found"),
            ({"model": "swift-1"}, 404, "not_found_error", "model_not_found"),
            ({"headers": {"anthropic-beta": "fast-mode-2026-02-01"}}, 400,
             "invalid_request_error", "unsupported_parameter"),
            ({"headers": {"x-api-key": "sk-wrong"}}, 401, "authentication_error",
             "invalid_api_key"),
            ({"headers": {"content-encoding": "gzip"}}, 415, "invalid_request_error",
             "unsupported_encoding"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("path", [PATH, COUNT])
    async def test_a_refusal_is_anthropics_error(
        self, gateway, ledger, provider, key, path, fields, status, kind, code
    ):
        answer = await ask(gateway, key, path=path, **fields)
        found = error(answer)
        assert (answer.status_code, found["type"]) == (status, kind)
        assert found["details"]["error_code"] == code
        assert ledger.tries == []
        assert provider.record.calls == []

    @pytest.mark.requirement("RSV-9")
    async def test_too_little_is_a_billing_error_before_any_call(self, gateway, ledger, provider):
        key = ledger.key(ledger.account(1_000_000))
        answer = await ask(gateway, key, max_tokens=4000)
        found = error(answer)
        assert (answer.status_code, found["type"]) == (402, "billing_error")
        assert found["details"]["error_code"] == "insufficient_prepaid_balance"
        assert found["details"]["available"] == "0.001"
        assert answer.headers["x-should-retry"] == "false"
        assert provider.record.calls == []

    async def test_a_key_for_other_models_is_refused(self, gateway, ledger, account):
        answer = await ask(gateway, ledger.key(account, allowed=["other"]))
        assert (answer.status_code, error(answer)["type"]) == (403, "permission_error")

    async def test_an_unknown_path_below_is_told_in_the_same_shape(self, gateway):
        answer = await gateway.http.post("/v1/messages/batches")
        assert (answer.status_code, error(answer)["type"]) == (404, "not_found_error")

    @pytest.mark.parametrize("path", [PATH, COUNT])
    @pytest.mark.parametrize(
        ("status", "told", "kind"),
        [(400, 400, "invalid_request_error"), (413, 413, "request_too_large"),
         (401, 502, "api_error"), (500, 502, "api_error"), (503, 529, "overloaded_error"),
         (529, 529, "overloaded_error")],
    )  # fmt: skip
    async def test_a_providers_failure_costs_nothing(
        self, gateway, ledger, provider, account, key, path, status, told, kind
    ):
        script(provider, status=status)
        answer = await ask(gateway, key, path=path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (told, kind)
        assert answer.headers["request-id"].startswith("req_")
        assert ledger.available(account) == DOLLAR


@pytest.mark.requirement("LIM-1")
async def test_the_rate_is_told_in_anthropics_headers(gateway, key):
    for path in (PATH, COUNT):
        answer = await ask(gateway, key, path=path)
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "1000000"
        assert "x-ratelimit-limit-requests" not in answer.headers


class TestCounting:
    async def test_the_count_is_the_providers_and_free(
        self, gateway, ledger, provider, account, key
    ):
        answer = await ask(gateway, key, path=COUNT, system="Be brief")
        assert answer.status_code == 200
        assert answer.json() == {"input_tokens": 15}
        assert ledger.tries == []
        assert ledger.available(account) == DOLLAR
        [call] = provider.record.calls
        assert call.path == COUNT
        assert call.body == {"model": "verse-1-b", "messages": HELLO, "system": "Be brief"}

    async def test_an_empty_account_may_ask(self, gateway, ledger):
        key = ledger.key(ledger.account(0))
        assert (await ask(gateway, key, path=COUNT)).status_code == 200

    @pytest.mark.parametrize("broken", [{"reset": True}, {"die_after_chunks": 0}])
    async def test_a_provider_that_breaks_off_is_told(self, gateway, provider, key, broken):
        script(provider, **broken)
        answer = await ask(gateway, key, path=COUNT)
        assert (answer.status_code, error(answer)["type"]) == (502, "api_error")


async def test_a_body_over_the_limit_is_anthropics_413(gateway, key):
    limit = gateway.worker.gateway.catalogue.gateway.body_max
    headers = {"x-api-key": key, "anthropic-version": VERSION}
    answer = await gateway.http.post("/v1/messages", content=b" " * (limit + 1), headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")
