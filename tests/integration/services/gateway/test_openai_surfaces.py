"""Completions, responses and embeddings with the unmodified SDK: each pays what it used."""

import asyncio
import base64

import openai
import orjson
import pytest

from libs.catalogue import charge_nanos
from simulators.provider.app import RunningProvider
from tests.support.gateway import DOLLAR, GatewayLedger, RunningGateway, script, until

pytestmark = pytest.mark.requirement("PRC-4")

TEXT = "every request pays"


@pytest.fixture
def account(ledger: GatewayLedger) -> str:
    return ledger.account(DOLLAR)


@pytest.fixture
async def client(gateway: RunningGateway, ledger: GatewayLedger, account: str):
    async with gateway.sdk(ledger.key(account)) as client:
        yield client


def price(given: int, made: int) -> int:
    return charge_nanos(given * 250_000 + made * 2_000_000, 1000, "USD")


def paid(ledger: GatewayLedger, account: str, surface: str, charge: int) -> dict:
    """What was charged, once it is certain that it is this and nothing more."""
    [charged] = ledger.events("CreditsCharged")
    [reserved] = ledger.events("CreditsReserved")
    assert reserved["surface"] == surface
    assert int(charged["charge"]) == charge <= int(reserved["amount"])
    assert (ledger.available(account), ledger.reserved(account)) == (DOLLAR - charge, 0)
    return charged


class TestCompletions:
    async def test_a_text_completion_pays_for_every_choice(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str
    ):
        script(provider, words=3)
        answer = await client.completions.create(
            model="swift-1", prompt=["abcd", "efgh"], n=2, echo=True, max_tokens=9
        )
        assert [choice.text for choice in answer.choices] == ["abcd" + TEXT] * 2 + [
            "efgh" + TEXT
        ] * 2
        charged = paid(ledger, account, "openai_completions", price(2, 12))
        assert (charged["finish"], charged["basis"]) == ("stop", "actual")
        [call] = provider.record.calls
        assert call.path == "/v1/completions"
        assert call.authorization == f"Bearer {provider.key}"

    async def test_a_stream_of_text_hides_the_usage_that_nobody_asked_for(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str
    ):
        script(provider, words=3)
        stream = await client.completions.create(model="swift-1", prompt=[5, 6, 7], stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
        paid(ledger, account, "openai_completions", price(3, 3))
        body = provider.record.calls[0].body
        assert (body["max_tokens"], body["stream_options"]) == (16, {"include_usage": True})


class TestResponses:
    async def test_a_response_pays_its_usage(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str
    ):
        script(provider, words=3, prompt_tokens=100)
        answer = await client.responses.create(model="swift-1", input="Hello")
        assert (answer.output_text, answer.status) == (TEXT, "completed")
        assert paid(ledger, account, "openai_responses", price(100, 3))["finish"] == "completed"
        assert provider.record.calls[0].body["max_output_tokens"] == 4096

    async def test_the_last_event_waits_for_the_settlement(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str
    ):
        script(provider, words=30)
        gate = ledger.held["Settle"] = asyncio.Event()
        stream = await client.responses.create(
            model="swift-1", input="Hello", max_output_tokens=3, stream=True
        )
        kinds = [(await anext(stream)).type for _ in range(10)]
        assert kinds[-1] == "response.output_item.done"
        rest = asyncio.create_task(anext(stream))
        await until(lambda: "Settle" in ledger.tries)
        done, _ = await asyncio.wait({rest}, timeout=0.1)
        assert not done
        gate.set()
        last = await rest
        assert (last.type, last.response.incomplete_details.reason) == (
            "response.incomplete",
            "max_output_tokens",
        )
        given = last.response.usage.input_tokens
        charged = paid(ledger, account, "openai_responses", price(given, 3))
        assert charged["finish"] == "max_output_tokens"
        assert [event async for event in stream] == []

    async def test_a_stream_that_dies_costs_nothing_and_ends_with_a_named_error(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str
    ):
        script(provider, words=30, die_after_chunks=7)
        stream = await client.responses.create(model="swift-1", input="Hello", stream=True)
        with pytest.raises(openai.APIError) as caught:
            [event async for event in stream]
        assert caught.value.code == "upstream_interrupted"
        assert ledger.events("CreditsCharged") == []
        assert ledger.available(account) == DOLLAR

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("style", ["none", "null", "zero"])
    async def test_without_usage_the_estimate_is_charged_and_flagged(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider,
        account: str, style: str, stream: bool
    ):  # fmt: skip
        script(provider, usage=style, words=3)
        answer = await gateway.http.post(
            "/v1/responses",
            json={"model": "swift-1", "input": "Hello", "stream": stream},
            headers={"authorization": f"Bearer {ledger.key(account)}"},
        )
        assert answer.status_code == 200
        [charged] = ledger.events("CreditsCharged")
        assert charged["basis"] == "estimate"
        assert charged["usage"]["output_tokens"] == -(-len(TEXT) * 11 // 40)


class TestEmbeddings:
    @pytest.mark.parametrize("given", ["abcd" * 3, [1, 2, 3], ["abcd", "abcd", "abcd"]])
    async def test_embeddings_pay_for_their_input(
        self, client, ledger: GatewayLedger, provider: RunningProvider, account: str, given
    ):
        # The SDK asks for base64 by itself and reads it: the bytes pass as they are.
        answer = await client.embeddings.create(model="swift-1", input=given, dimensions=4)
        assert len(answer.data[0].embedding) == 4
        charged = paid(ledger, account, "openai_embeddings", price(3, 0))
        assert charged["usage"] == {"input_tokens": 3, "cached_tokens": 0, "output_tokens": 0}
        assert provider.record.calls[0].body["encoding_format"] == "base64"

    async def test_vectors_pass_byte_for_byte(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, account
    ):
        body = {"model": "swift-1", "input": "a", "encoding_format": "base64"}
        answer = await gateway.http.post(
            "/v1/embeddings", json=body, headers={"x-api-key": ledger.key(account)}
        )
        assert len(base64.b64decode(answer.json()["data"][0]["embedding"])) == 32
        assert "farebox-max-output-tokens" not in answer.headers

    @pytest.mark.parametrize("style", ["none", "null"])
    async def test_without_usage_a_token_for_four_bytes_is_charged(
        self, client, ledger: GatewayLedger, provider: RunningProvider, style: str
    ):
        script(provider, usage=style)
        await client.embeddings.create(model="swift-1", input="a" * 400)
        [charged] = ledger.events("CreditsCharged")
        assert charged["basis"] == "estimate"
        sent = len(orjson.dumps(provider.record.calls[0].body))
        assert charged["usage"]["input_tokens"] == -(-sent // 4)


CALLS = {
    "/v1/completions": {"prompt": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/images/generations": {"prompt": "Hello"},
}


@pytest.mark.parametrize("path", CALLS)
async def test_each_failure_has_its_code_and_costs_nothing(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, path: str
):
    async def post(key: str, **fields: object):
        body = {"model": "swift-1"} | CALLS[path] | fields
        answer = await gateway.http.post(path, json=body, headers={"x-api-key": key})
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["param"]

    account = ledger.account(DOLLAR)
    key, none = ledger.key(account), ledger.key(ledger.account(0))
    assert await post("fb_0_wrong") == (401, "invalid_api_key", None)
    assert await post(none) == (402, "insufficient_prepaid_balance", None)
    other = ledger.key(account, allowed=["other"])
    assert await post(other) == (403, "model_not_allowed", "model")
    assert await post(key, model="free-lunch") == (404, "model_not_found", "model")
    assert await post(key, service_tier="flex") == (400, "unsupported_parameter", "service_tier")
    assert await post(key, unheard_of=1) == (400, "unsupported_parameter", "unheard_of")
    assert await post(key, model=7) == (400, "invalid_value", "model")
    assert provider.record.calls == []
    for status, code in ((429, "upstream_rate_limited"), (500, "upstream_error"), (401, "upstream_refused"),
                         (503, "upstream_overloaded")):  # fmt: skip
        script(provider, status=status)
        assert (await post(key))[1] == code
    script(provider, reset=True)
    assert await post(key) == (502, "upstream_interrupted", None)
    assert ledger.available(account) == DOLLAR
    assert ledger.events("CreditsCharged") == []
    ledger.away = True
    assert (await post(key))[:2] == (503, "ledger_unavailable")


async def test_the_sdk_raises_what_was_refused(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="swift-1", input="a", previous_response_id="resp_1")
    assert (caught.value.code, caught.value.param) == (
        "unsupported_parameter",
        "previous_response_id",
    )


@pytest.mark.parametrize("path", CALLS)
async def test_a_body_that_is_not_taken_has_its_code_and_costs_nothing(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, path: str
):
    headers = {"authorization": f"Bearer {ledger.key(ledger.account(DOLLAR))}"}
    body = orjson.dumps({"model": "swift-1"} | CALLS[path])
    too_large = b" " * gateway.worker.gateway.catalogue.gateway.body_max + body
    told = []
    for content, more in ((too_large, {}), (body, {"content-encoding": "gzip"})):
        answer = await gateway.http.post(path, content=content, headers=headers | more)
        told.append((answer.status_code, answer.json()["error"]["code"]))
    assert told == [(413, "request_too_large"), (415, "unsupported_encoding")]
    assert (provider.record.calls, ledger.sent) == ([], [])
