"""A paid JSON completion: held, called, settled, answered."""

import asyncio
import re

import openai
import pytest

from libs.catalogue import charge_nanos
from simulators.provider.app import RunningProvider
from tests.support.gateway import DOLLAR, GatewayLedger, RunningGateway, script, until

pytestmark = pytest.mark.requirement("RSV-1", "RSV-2")

HELLO = [{"role": "user", "content": "Hello"}]


def price(usage) -> int:
    cached = usage.prompt_tokens_details.cached_tokens
    cost = (usage.prompt_tokens - cached) * 250_000 + cached * 25_000
    return charge_nanos(cost + usage.completion_tokens * 2_000_000, 1000, "USD")


@pytest.mark.requirement("PRC-1", "PRC-4")
async def test_the_charge_is_the_reported_usage_at_cost_plus_margin(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(10 * DOLLAR)
    script(provider, words=7, prompt_tokens=1000, cached_tokens=400)
    async with gateway.sdk(ledger.key(account)) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="swift-1", messages=HELLO
        )
    answer = raw.parse()
    charge = price(answer.usage)
    assert charge == charge_nanos(600 * 250_000 + 400 * 25_000 + 7 * 2_000_000, 1000, "USD")
    assert ledger.available(account) == 10 * DOLLAR - charge
    assert ledger.reserved(account) == 0
    [charged] = ledger.events("CreditsCharged")
    assert (charged["charge"], charged["basis"]) == (str(charge), "actual")
    assert charged["usage"] == {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 7}
    assert (charged["model"], charged["route"]) == ("swift-1", "north/swift-1")
    assert charged["finish"] == "stop"
    assert int(charged["margin"]) == charge - int(charged["cost_pico"]) // 1000
    headers = raw.headers
    assert headers["farebox-request-id"] == headers["x-request-id"] == charged["res"]
    assert headers["farebox-route"] == "north/swift-1"
    assert headers["farebox-charged"] == f"{charge / DOLLAR:.9f}".rstrip("0")
    assert headers["farebox-available"] == f"{(10 * DOLLAR - charge) / DOLLAR:.9f}".rstrip("0")


async def test_the_answer_reaches_the_client_byte_for_byte(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, words=3)
    through = await gateway.chat(key)
    script(provider, words=3)
    direct = await gateway.http.post(
        f"{provider.url}/v1/chat/completions",
        json={"model": "swift-1", "messages": HELLO},
        headers={"authorization": f"Bearer {provider.key}"},
    )
    assert through.content.replace(b"sim1", b"sim2") == direct.content
    assert through.headers["content-type"] == direct.headers["content-type"]


async def test_the_credits_are_held_before_the_provider_is_called(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    ledger.held["Reserve"] = asyncio.Event()
    request = asyncio.create_task(gateway.chat(key))
    await until(lambda: "Reserve" in ledger.tries)
    assert provider.record.calls == []
    ledger.held.pop("Reserve").set()
    assert (await request).status_code == 200
    assert len(provider.record.calls) == 1


async def test_the_answer_waits_for_its_settlement(gateway: RunningGateway, ledger: GatewayLedger):
    key = ledger.key(ledger.account(DOLLAR))
    gate = ledger.held["Settle"] = asyncio.Event()
    request = asyncio.create_task(gateway.chat(key))
    await until(lambda: "Settle" in ledger.tries)
    done, _ = await asyncio.wait({request}, timeout=0.1)
    assert not done
    gate.set()
    assert (await request).headers["farebox-charged"]


async def test_the_providers_key_goes_up_and_the_clients_stays_here(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    secret = ledger.key(ledger.account(DOLLAR))
    await gateway.http.post(
        "/v1/chat/completions",
        json={"model": "swift-1", "messages": HELLO},
        headers={
            "authorization": f"Bearer {secret}",
            "x-api-key": secret,
            "cookie": "a=b",
            "x-forwarded-for": "10.0.0.1",
        },
    )
    [call] = provider.record.calls
    assert call.authorization == f"Bearer {provider.key}"
    assert call.headers["accept-encoding"] == "identity"
    assert secret not in repr(call.headers)
    assert not {"cookie", "x-forwarded-for", "x-api-key"} & call.headers.keys()


async def test_the_clients_own_cap_is_what_is_held(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    answer = await gateway.chat(key, max_tokens=5)
    assert answer.headers["farebox-max-output-tokens"] == "5"
    [call] = provider.record.calls
    assert call.body["max_tokens"] == 5
    assert "max_completion_tokens" not in call.body
    [reserve] = [command for command in ledger.sent if command.kind == "Reserve"]
    assert reserve.data.amount == reserve.data.at_least
    size = len(call_body(call))
    cost = (size + 1024) * 250_000 + 5 * 2_000_000
    assert reserve.data.amount == charge_nanos(cost, 1000, "USD")


def call_body(call) -> bytes:
    import json

    return json.dumps(call.body, separators=(",", ":")).encode()


@pytest.mark.requirement("PRC-2")
async def test_without_a_cap_the_balance_sets_it_and_the_client_is_told(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    rich, poor = ledger.account(DOLLAR), ledger.account(2_000_000)
    script(provider, words=100_000, times=None)
    answer = await gateway.chat(ledger.key(rich))
    assert provider.record.calls[-1].body["max_completion_tokens"] == 4096
    assert answer.headers["farebox-max-output-tokens"] == "4096"
    answer = await gateway.chat(ledger.key(poor))
    cap = provider.record.calls[-1].body["max_completion_tokens"]
    assert answer.headers["farebox-max-output-tokens"] == str(cap)
    assert 256 <= cap < 4096
    # The provider used the whole cap, and what it cost was still covered by what was held.
    assert answer.json()["usage"]["completion_tokens"] == cap
    assert answer.headers["farebox-reserved"] == "0.002"
    charged = ledger.events("CreditsCharged")[-1]
    assert charged["extra"] == charged["loss"] == "0"
    assert ledger.available(poor) >= 0


async def test_each_request_is_a_reservation_of_its_own(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    answers = await asyncio.gather(*[gateway.chat(key) for _ in range(20)])
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 20
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", one) for one in ids)
    assert {event["res"] for event in ledger.events("CreditsCharged")} == ids


@pytest.mark.requirement("CRD-5")
async def test_many_at_once_never_overdraw(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(3_000_000)
    key = ledger.key(account)
    answers = await asyncio.gather(*[gateway.chat(key, max_tokens=200) for _ in range(50)])
    served = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 402}
    assert len(provider.record.calls) == len(served) < 50
    assert ledger.available(account) >= 0
    assert ledger.reserved(account) == 0


async def test_the_trace_of_the_client_goes_on_in_the_ledger(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await gateway.http.post(
        "/v1/chat/completions",
        json={"model": "swift-1", "messages": HELLO},
        headers={"authorization": f"Bearer {key}", "traceparent": given},
    )
    await gateway.chat(key)
    parents = [command.traceparent for command in ledger.sent]
    assert parents[:2] == [given, given]
    assert parents[2] == parents[3] != given


@pytest.mark.parametrize("style", ["none", "null", "zero"])
async def test_without_usage_the_documented_estimate_is_charged_and_flagged(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, style: str
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, usage=style, words=50)
    answer = await gateway.chat(key)
    [charged] = ledger.events("CreditsCharged")
    text = answer.json()["choices"][0]["message"]["content"].encode()
    sent = len(call_body(provider.record.calls[0]))
    assert charged["basis"] == "estimate"
    assert charged["usage"] == {
        "input_tokens": -(-sent // 4),
        "cached_tokens": 0,
        "output_tokens": -(-len(text) * 11 // 40),
    }


async def test_usage_above_the_bound_is_taken_from_what_is_available(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=5000, ignore_cap=True)
    answer = await gateway.chat(ledger.key(account), max_tokens=10)
    assert answer.status_code == 200
    [charged] = ledger.events("CreditsCharged")
    assert int(charged["extra"]) > 0
    assert ledger.available(account) == DOLLAR - int(charged["charge"])


async def test_the_sdk_raises_what_the_provider_refused(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, status=422)
    async with gateway.sdk(ledger.key(account)) as client:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.chat.completions.create(model="swift-1", messages=HELLO)
    assert caught.value.code == "provider_error"
    assert ledger.available(account) == DOLLAR
    [released] = ledger.events("CreditsReleased")
    assert (released["reason_code"], released["status"]) == ("upstream_rejected", 422)


async def test_a_retry_after_of_the_provider_reaches_the_client(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, status=429, retry_after="7")
    answer = await gateway.chat(key)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    script(provider, status=503, retry_after="9")
    answer = await gateway.chat(key)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")
    assert ledger.kinds() == ["Reserve", "Release"] * 2


@pytest.mark.requirement("ACC-8")
async def test_tags_stand_with_the_hold_and_a_wrong_one_costs_nothing(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}

    async def post(tags: str) -> int:
        headers = {"authorization": f"Bearer {key}", "farebox-tags": tags}
        return (
            await gateway.http.post("/v1/chat/completions", json=body, headers=headers)
        ).status_code

    assert await post("team=search, run=7") == 200
    [reserved] = ledger.events("CreditsReserved")
    assert reserved["tags"] == {"team": "search", "run": "7"}
    assert "farebox-tags" not in provider.record.calls[0].headers
    assert await post("Team=search") == 400
    assert len(provider.record.calls) == 1
