"""A provider that fails costs the customer nothing, and the customer is told what happened."""

from pathlib import Path

import openai
import pytest

from libs.catalogue import Catalogue
from libs.runtime import metrics
from services.gateway import completion
from services.gateway.completion import Completion
from services.gateway.surfaces.openai_chat import OpenAIChat
from simulators.provider.app import RunningProvider, running_provider
from tests.support.deadlines import ToldDeadline
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    catalogue_for,
    running_gateway,
    script,
)

pytestmark = pytest.mark.requirement("RSV-2")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ({"status": 500}, 502, "upstream_error"),
        ({"status": 502}, 502, "upstream_error"),
        ({"status": 503}, 503, "upstream_overloaded"),
        ({"status": 529}, 503, "upstream_overloaded"),
        ({"status": 504}, 504, "upstream_timeout"),
        ({"reset": True}, 502, "upstream_interrupted"),
        ({"die_after_chunks": 0}, 502, "upstream_interrupted"),
    ],
)
async def test_a_failure_is_told_as_ours_and_gives_everything_back(
    gateway: RunningGateway,
    ledger: GatewayLedger,
    provider: RunningProvider,
    behaviour: dict,
    status: int,
    code: str,
    stream: bool,
):
    account = ledger.account(DOLLAR)
    script(provider, **behaviour)
    answer = await gateway.chat(ledger.key(account), stream=stream)
    found = answer.json()["error"]
    assert (answer.status_code, found["code"]) == (status, code)
    assert found["type"] == "server_error"
    assert "Nothing was charged" in found["message"]
    assert answer.headers["farebox-charged"] == "0.00"
    assert answer.headers["farebox-available"] == "1.00"
    assert ledger.available(account) == DOLLAR
    assert ledger.kinds() == ["Reserve", "Release"]
    [released] = ledger.events("CreditsReleased")
    assert released["reason_code"] == code
    [attempt] = released["attempts"]
    assert (attempt["upstream"], attempt["reason"]) == ("north", code)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_what_the_provider_says_of_our_own_account_stays_here(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, status: int
):
    account = ledger.account(DOLLAR)
    script(provider, status=status)
    answer = await gateway.chat(ledger.key(account))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_refused")
    assert ledger.events("CreditsReleased")[0]["status"] == status
    assert ledger.available(account) == DOLLAR


def retries(keyed: str) -> int:
    return metrics.counter(
        "client_retries_total", "", surface="openai_chat", idempotency_key=keyed
    ).value


@pytest.mark.parametrize(
    ("said", "counts"), [("0", 0), ("1", 1), ("12", 1), ("", 0), ("-1", 0), ("9" * 5000, 1)]
)
async def test_what_an_sdk_sends_again_is_counted_apart_where_it_has_a_key(
    gateway: RunningGateway, ledger: GatewayLedger, said: str, counts: int
):
    before = retries("yes"), retries("no")
    headers = {"x-stainless-retry-count": said, "idempotency-key": f"try-{said:.9}"}
    headers["authorization"] = f"Bearer {ledger.key(ledger.account(DOLLAR))}"
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}
    answer = await gateway.http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200
    assert (retries("yes"), retries("no")) == (before[0] + counts, before[1])


async def test_the_sdks_own_retry_is_a_new_reservation_and_one_charge(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    script(provider, status=500)
    before = retries("no")
    async with gateway.sdk(ledger.key(ledger.account(DOLLAR)), max_retries=2) as client:
        await client.chat.completions.create(
            model="swift-1", messages=[{"role": "user", "content": "Hello"}]
        )
    assert ledger.kinds() == ["Reserve", "Release", "Reserve", "Settle"]
    assert len(provider.record.calls) == 2
    assert retries("no") == before + 1


async def test_a_provider_that_is_not_there_is_a_502(tmp_path: Path):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    async with running_provider() as gone:
        catalogue = catalogue_for(gone.url)
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        answer = await gateway.chat(ledger.key(account))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert ledger.available(account) == DOLLAR


def impatient(provider: RunningProvider) -> Catalogue:
    return catalogue_for(provider.url, **{'first_byte = "120s"': 'first_byte = "100ms"'})


async def test_a_stream_that_does_not_begin_in_time_is_a_504(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, hold=True)
    async with running_gateway(tmp_path, impatient(provider), ledger) as gateway:
        answer = await gateway.chat(ledger.key(account), stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert ledger.available(account) == DOLLAR


async def test_a_whole_answer_may_take_longer_than_a_streams_first_byte(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    script(provider, delay_ms=300)
    async with running_gateway(tmp_path, impatient(provider), ledger) as gateway:
        answer = await gateway.chat(ledger.key(ledger.account(DOLLAR)))
    assert answer.status_code == 200
    assert ledger.events("CreditsCharged")[0]["basis"] == "actual"


async def test_a_whole_answer_of_which_no_byte_came_is_given_back_and_counted(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, hold=True)
    before = completion._given_up.value
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), ledger, request_max_s=0.2
    ) as gateway:
        answer = await gateway.chat(ledger.key(account))
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert ledger.available(account) == DOLLAR
    assert completion._given_up.value == before + 1


async def test_a_request_has_a_longest_time_however_lively_the_provider_and_pays_for_it(
    tmp_path: Path, provider: RunningProvider, deadlines: list[ToldDeadline]
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, words=1000, gap_ms=20, ignore_cap=True)
    async with (
        running_gateway(tmp_path, catalogue_for(provider.url), ledger) as gateway,
        gateway.chat_stream(ledger.key(account)) as answer,
    ):
        pieces = answer.aiter_bytes()
        await anext(pieces)
        deadlines[0].latest_in(0)
        text = b"".join([piece async for piece in pieces])
    assert b"upstream_timeout" in text
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert 0 < int(charged["charge"]) == DOLLAR - ledger.available(account)


async def test_an_answer_that_is_too_large_is_a_502_and_charged_by_its_bytes(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, words=100, word_bytes=100)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), ledger, answer_max=5000
    ) as gateway:
        answer = await gateway.chat(ledger.key(account))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "upstream_invalid")
    assert "Nothing was charged" not in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] > 5000 // 4
    assert ledger.available(account) == DOLLAR - int(charged["charge"])


async def test_an_answer_that_is_too_large_never_costs_more_than_was_held(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, words=100, word_bytes=100, ignore_cap=True)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), ledger, answer_max=5000
    ) as gateway:
        await gateway.chat(ledger.key(account), max_tokens=10)
    [charged] = ledger.events("CreditsCharged")
    assert (charged["usage"]["output_tokens"], charged["extra"]) == (10, "0")


async def test_a_rejection_that_is_too_large_costs_nothing(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    script(provider, status=400)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), ledger, answer_max=5
    ) as gateway:
        answer = await gateway.chat(ledger.key(account))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_invalid")
    assert ledger.available(account) == DOLLAR


@pytest.mark.parametrize(("part", "name"), [(OpenAIChat, "prepare"), (Completion, "told")])
async def test_a_mistake_of_our_own_is_a_500_and_gives_everything_back(
    gateway: RunningGateway,
    ledger: GatewayLedger,
    monkeypatch: pytest.MonkeyPatch,
    part: type,
    name: str,
):
    def broken(*_: object) -> bytes:
        raise RuntimeError("a bug")

    monkeypatch.setattr(part, name, broken)
    account = ledger.account(DOLLAR)
    async with gateway.sdk(ledger.key(account)) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(
                model="swift-1", messages=[{"role": "user", "content": "Hello"}]
            )
    assert caught.value.code == "internal_error"
    assert ledger.kinds() == ["Reserve", "Release"]
    assert ledger.available(account) == DOLLAR
