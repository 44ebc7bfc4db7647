"""Paid requests over two gateway processes on one real ledger, as clients meet them."""

import asyncio
import itertools
from decimal import Decimal

import openai
import pytest

from tests.support.gateway import script
from tests.support.installation import CREDIT, DOLLAR, charge_of
from tests.support.waiting import until

GATEWAYS = ("gateway-1", "gateway-2")
AT_ONCE = 50


@pytest.fixture(scope="module", autouse=True)
async def _gateways(farebox):
    await farebox.start(*GATEWAYS)


def the_one_served(answers):
    """The one answer that was served, after checking that all others were refused for money."""
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 402]
    assert (len(served), len(refused)) == (1, AT_ONCE - 1)
    codes = {answer.json()["error"]["code"] for answer in refused}
    assert codes == {"insufficient_prepaid_balance"}
    return served[0]


@pytest.mark.requirement("RSV-3", "CRD-5", "RSV-1")
async def test_one_credit_and_fifty_requests_at_once_is_one_call(farebox, provider):
    customer = await farebox.customer(CREDIT, unit="CREDIT", plan="studio")
    answers = await asyncio.gather(
        *[farebox.score(GATEWAYS[i % 2], customer, f"cat {i}") for i in range(AT_ONCE)]
    )
    assert the_one_served(answers).headers["farebox-charged"] == "1"
    assert provider.record.summary()["count"] == 1
    assert await farebox.balance(customer) == (0, 0)
    money = [kind for kind in await farebox.kinds(customer.account) if kind.startswith("Credits")]
    assert money == ["CreditsGranted", "CreditsReserved", "CreditsCharged"]


@pytest.mark.requirement("RSV-3", "CRD-5", "RSV-9")
async def test_money_for_one_and_fifty_requests_at_once_is_one_call(farebox, provider):
    poor = await farebox.customer()
    refused = await farebox.chat("gateway-1", poor, max_tokens=100)
    bound = int(Decimal(refused.json()["error"]["details"]["required"]) * DOLLAR)
    customer = await farebox.customer(bound)
    answers = await asyncio.gather(
        *[farebox.chat(GATEWAYS[i % 2], customer, max_tokens=100) for i in range(AT_ONCE)]
    )
    charge = charge_of(the_one_served(answers).json()["usage"])
    assert provider.record.summary()["count"] == 1
    assert 0 < charge <= bound
    assert await farebox.balance(customer) == (bound - charge, 0)


@pytest.mark.requirement("RSV-3")
async def test_one_request_repeated_at_once_at_both_gateways_is_one_call(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, words=5, hold=True)

    async def ask(i, **fields):
        return await repeated(farebox, GATEWAYS[i % 2], customer, **fields)

    asking = [asyncio.create_task(ask(i)) for i in range(20)]
    refused = [await first for first in itertools.islice(asyncio.as_completed(asking), 19)]
    assert {answer.json()["error"]["code"] for answer in refused} == {"idempotency_in_progress"}
    provider.record.release()
    [served] = [answer for answer in await asyncio.gather(*asking) if answer not in refused]
    assert served.status_code == 200
    left = await farebox.settled(customer)
    assert left == DOLLAR - charge_of(served.json()["usage"])
    found = [await ask(i) for i in range(2)]
    [again] = [answer for answer in found if answer.status_code == 200]
    [lost] = [answer.json()["error"] for answer in found if answer is not again]
    assert again.content == served.content
    assert lost["code"] == "idempotency_not_replayable"
    assert lost["details"]["charged"] == served.headers["farebox-charged"]
    for i in range(2):
        assert (await ask(i, seed=1)).json()["error"]["code"] == "idempotency_mismatch"
    assert len(provider.record.calls) == 1
    assert (await farebox.kinds(customer.account)).count("CreditsReserved") == 1
    assert await farebox.balance(customer) == (left, 0)


@pytest.mark.requirement("RSV-3", "RSV-2")
async def test_a_failure_is_run_again_under_its_key_at_any_gateway(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, status=400, times=2)
    answers = [await repeated(farebox, GATEWAYS[i % 2], customer) for i in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 200]
    kinds = await farebox.kinds(customer.account)
    opened = ["CreditsReserved", "CreditsReleased"] * 2 + ["CreditsReserved", "CreditsCharged"]
    assert kinds[-6:] == opened
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


async def repeated(farebox, gateway, customer, **fields):
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]} | fields
    url = farebox.process(gateway).url("http", "/v1/chat/completions")
    headers = {**customer.inference, "idempotency-key": "order 81"}
    return await farebox.http.post(url, json=body, headers=headers)


@pytest.mark.requirement("RSV-2", "RSV-6")
async def test_a_client_that_goes_in_mid_stream_is_charged_once_what_was_used(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, words=30, hold_after_chunks=6)
    body = {
        "model": "swift-1",
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    url = farebox.process("gateway-1").url("http", "/v1/chat/completions")
    async with farebox.http.stream("POST", url, json=body, headers=customer.inference) as answer:
        await anext(answer.aiter_lines())
        await until(lambda: is_held(provider))
    provider.record.release()
    left = await farebox.settled(customer)
    [call] = provider.record.calls
    assert call.outcome == "complete"  # the gateway read on to the usage
    assert call.usage["completion_tokens"] == 30
    assert left == DOLLAR - charge_of(call.usage)
    [charged] = await farebox.events(customer.account, "CreditsCharged")
    assert charged["data"]["basis"] == "actual"
    assert charged["data"]["usage"]["output_tokens"] == 30


@pytest.mark.requirement("RSV-2", "RSV-6")
async def test_a_client_that_goes_at_any_event_is_settled_exactly_once(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, words=5, gap_ms=5, times=10)
    url = farebox.process("gateway-1").url("http", "/v1/chat/completions")
    body = {
        "model": "swift-1",
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }

    async def read(events):
        async with farebox.http.stream(
            "POST", url, json=body, headers=customer.inference
        ) as answer:
            lines = answer.aiter_lines()
            for _ in range(2 * events):
                await anext(lines, None)

    await asyncio.gather(*[read(events) for events in range(10)])
    left = await farebox.settled(customer)
    charged = await farebox.events(customer.account, "CreditsCharged")
    held = await farebox.events(customer.account, "CreditsReserved")
    assert len(held) == 10
    assert {event["data"]["res"] for event in charged} == {event["data"]["res"] for event in held}
    assert len(charged) == 10
    usages = [call.usage for call in provider.record.calls]
    assert left == DOLLAR - sum(charge_of(usage) for usage in usages)


async def is_held(provider):
    return provider.record.calls[0].chunks == 6


@pytest.mark.requirement("RSV-5")
async def test_a_stream_without_a_cap_is_extended_while_it_runs(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    # What comes all at once, with its end, is settled as it is.
    script(provider, words=250, word_bytes=40, hold_after_chunks=240)
    asking = asyncio.create_task(farebox.chat("gateway-1", customer, stream=True))
    await until(lambda: farebox.events(customer.account, "ReservationExtended"))

    async def answered():
        """The extension may come before the stream is held: what is held later goes on too."""
        provider.record.release()
        return asking.done()

    await until(answered)
    answer = await asking
    assert answer.content.endswith(b"data: [DONE]\n\n")
    left = await farebox.settled(customer)
    [reserved] = await farebox.events(customer.account, "CreditsReserved")
    extended = await farebox.events(customer.account, "ReservationExtended")
    added = [int(event["data"]["added"]) for event in extended]
    # 10,000 bytes of text, and a slice of 4,096 tokens is held for first.
    assert added
    assert int(extended[-1]["data"]["total"]) == int(reserved["data"]["amount"]) + sum(added)
    assert left == DOLLAR - charge_of(provider.record.calls[0].usage)
    assert await farebox.balance(customer) == (left, 0)


@pytest.mark.requirement("RSV-2")
async def test_a_provider_that_dies_in_mid_stream_costs_nothing_and_is_told(farebox, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, words=30, die_after_chunks=6)
    url = farebox.process("gateway-2").url("http", "/v1")
    secret = customer.inference["authorization"].removeprefix("Bearer ")
    words = []

    async def read(client):
        async for chunk in await client.chat.completions.create(
            model="swift-1", messages=[{"role": "user", "content": "Hello"}], stream=True
        ):
            words.extend(choice.delta.content for choice in chunk.choices)

    async with openai.AsyncOpenAI(base_url=url, api_key=secret, max_retries=0) as client:
        with pytest.raises(openai.APIError) as told:
            await read(client)
    assert any(words)
    assert "Nothing was charged" in told.value.message
    assert await farebox.settled(customer) == DOLLAR
    [held] = await farebox.events(customer.account, "CreditsReserved")
    [released] = await farebox.events(customer.account, "CreditsReleased")
    assert released["data"]["amount"] == held["data"]["amount"]
    assert "CreditsCharged" not in await farebox.kinds(customer.account)


HELLO = b'{"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]'
BAD = [
    (b"{", 400, "invalid_json", None),
    (b"[]", 400, "invalid_json", None),
    (HELLO + b', "web_search_options": {}}', 400, "unsupported_parameter", "web_search_options"),
    (HELLO + b', "price_tier": "free"}', 400, "unsupported_parameter", "price_tier"),
    (HELLO.replace(b"swift-1", b"slow-9") + b"}", 404, "model_not_found", "model"),
    (HELLO + b', "user": "' + b"x" * (9 << 20) + b'"}', 413, "request_too_large", None),
]


@pytest.mark.requirement("PRC-7", "LIM-2")
@pytest.mark.parametrize(("body", "status", "code", "param"), BAD, ids=range(len(BAD)))
async def test_a_request_that_cannot_be_priced_is_refused_and_holds_nothing(
    farebox, provider, body, status, code, param
):
    customer = await farebox.customer(DOLLAR)
    before = await farebox.kinds(customer.account)
    url = farebox.process("gateway-1").url("http", "/v1/chat/completions")
    answer = await farebox.http.post(url, content=body, headers=customer.inference)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["param"]) == (status, code, param)
    assert await farebox.kinds(customer.account) == before
    assert provider.record.calls == []


@pytest.mark.requirement("ACC-3")
@pytest.mark.parametrize("key", ["", "sk-other", "fb_0_" + "A" * 43, "fb_7_" + "A" * 43])
async def test_a_key_that_nobody_was_issued_is_401(farebox, provider, key):
    url = farebox.process("gateway-2").url("http", "/v1/chat/completions")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await farebox.http.post(url, content=HELLO + b"}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert provider.record.calls == []
