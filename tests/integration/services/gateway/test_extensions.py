"""A stream without a cap: held in slices, extended while it runs, ended where nothing is left."""

import asyncio
from datetime import timedelta

import orjson
import pytest

from services.ledger.domain.state import Account
from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE
from tests.support.deciding import reserve
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    all_closed,
    script,
    until,
)

pytestmark = pytest.mark.requirement("RSV-5")

HELLO = [{"role": "user", "content": "Hello"}]
SLICE = 64
TOML = EXAMPLE.replace("default_max_output = 4096", f"default_max_output = {SLICE}")


def drain(ledger: GatewayLedger, account_id: str, *, left: int = 0) -> None:
    """Another request of the account holds all but `left` of what it has available."""
    account: Account = ledger.rules.accounts[account_id]
    [key_id] = account.keys
    taken = account.available - left
    ledger.run(reserve(account_id, key_id, taken, ledger.rules.at + timedelta(seconds=5)))


def events_of(text: bytes) -> list[dict]:
    return [orjson.loads(event[6:]) for event in text.split(b"\n\n")[:-2]]


def text_bytes(events: list[dict]) -> int:
    choices = [choice for event in events for choice in event["choices"]]
    return sum(len(choice["delta"].get("content", "")) for choice in choices)


def own(ledger: GatewayLedger) -> dict:
    """The charge of the stream; the hold of `drain` stays open."""
    [charged] = ledger.events("CreditsCharged")
    return charged


async def streamed(gateway: RunningGateway, key: str, **fields) -> tuple[bytes, dict]:
    async with gateway.chat_stream(key, **fields) as answer:
        return await answer.aread(), dict(answer.headers)


async def test_it_runs_past_its_first_hold_which_grows_with_it(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=100, word_bytes=5)
    text, headers = await streamed(gateway, ledger.key(account))
    assert text.endswith(b"data: [DONE]\n\n")
    # The provider may go on to the model's own limit, as the balance pays for all of it.
    assert headers["farebox-max-output-tokens"] == "32000"
    assert provider.record.calls[0].body["max_completion_tokens"] == 32_000
    extends = [command for command in ledger.sent if command.kind == "Extend"]
    [reserved] = ledger.events("CreditsReserved")
    res = reserved["res"]
    ids = [f"extend:{res}:{number}" for number in range(1, len(extends) + 1)]
    assert [command.caller_id for command in extends] == ids
    assert len(extends) >= 3
    totals = [int(reserved["amount"]), *(command.data.total for command in extends)]
    assert totals == sorted(set(totals))
    used = [command.data.used_so_far for command in extends]
    assert used == sorted(used)
    assert used[0] > 0
    charged = own(ledger)
    assert (charged["basis"], charged["usage"]["output_tokens"]) == ("actual", 100)
    assert int(charged["charge"]) <= totals[-1]
    assert ledger.available(account) == DOLLAR - int(charged["charge"])


async def test_holds_of_capped_streams_and_of_whole_answers_do_not_grow(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    script(provider, words=100, times=2)
    await streamed(gateway, key, max_tokens=SLICE)
    await gateway.chat(key)
    assert "Extend" not in ledger.kinds()
    caps = [call.body.get("max_completion_tokens") for call in provider.record.calls]
    assert caps == [None, SLICE]


async def test_the_cap_sent_is_what_a_quarter_of_the_rest_pays_for(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    amount = 3_000_000
    account = ledger.account(amount)
    await streamed(gateway, ledger.key(account))
    [reserved] = ledger.events("CreditsReserved")
    cap = provider.record.calls[0].body["max_completion_tokens"]
    ahead = (cap - SLICE) * 2_200  # 2.00 per million and 10 %, in nanos
    assert SLICE < cap < 32_000
    assert ahead <= (amount - int(reserved["amount"])) // 4 < ahead + 2_200


async def test_streams_of_one_account_run_ahead_by_that_quarter_together(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(3_000_000))
    script(provider, hold_after_chunks=2, times=2)
    streams = [asyncio.create_task(streamed(gateway, key))]
    await until(lambda: len(provider.record.calls) == 1)
    streams.append(asyncio.create_task(streamed(gateway, key)))
    await until(lambda: all(call.chunks == 2 for call in provider.record.calls[:2]))
    await until(lambda: len(provider.record.calls) == 2)
    first, second = (call.body["max_completion_tokens"] for call in provider.record.calls)
    provider.record.release()
    await asyncio.gather(*streams)
    assert first > second == SLICE
    assert gateway.worker.means.unheld.room("anybody", 400) == 100
    assert not gateway.worker.means.unheld._of


@pytest.mark.parametrize("asked", [False, True])
async def test_when_the_balance_is_used_up_it_ends_as_the_provider_ends_one(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, asked: bool
):
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    script(provider, words=400, word_bytes=5, hold_after_chunks=5)
    options = {"stream_options": {"include_usage": True}} if asked else {}
    reading = asyncio.create_task(streamed(gateway, key, **options))
    await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 5)
    drain(ledger, account)
    provider.record.release()
    text, _ = await reading
    assert text.endswith(b"data: [DONE]\n\n")
    events = events_of(text)
    last = events[-2] if asked else events[-1]
    assert last["choices"][0] == {
        "index": 0, "delta": {}, "logprobs": None, "finish_reason": "length",
    }  # fmt: skip
    same = ("id", "object", "created", "model")
    assert [last[name] for name in same] == [events[0][name] for name in same]
    charged = own(ledger)
    delivered = text_bytes(events)
    assert 5 < delivered <= SLICE
    assert charged["usage"]["output_tokens"] == -(-delivered * 11 // 40)
    assert (charged["basis"], charged["finish"]) == ("estimate", "length")
    assert charged["attempts"][-1]["reason"] == "hold_used_up"
    assert (charged["loss"], charged["extra"]) == ("0", "0")
    if asked:
        assert events[-1]["choices"] == []
        assert events[-1]["usage"]["completion_tokens"] == charged["usage"]["output_tokens"]
    [reserved] = ledger.events("CreditsReserved")[:1]
    assert ledger.available(account) == int(reserved["amount"]) - int(charged["charge"])
    await until(lambda: provider.record.calls[0].outcome == "client_gone")


async def test_the_sdk_reads_such_an_end_to_its_end(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=400, word_bytes=5, hold_after_chunks=5)
    finishes = []

    async def read() -> None:
        async with gateway.sdk(ledger.key(account)) as client:
            stream = await client.chat.completions.create(
                model="swift-1", messages=HELLO, stream=True
            )
            finishes.extend([chunk.choices[0].finish_reason async for chunk in stream])

    reading = asyncio.create_task(read())
    await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 5)
    drain(ledger, account)
    provider.record.release()
    await reading
    assert finishes[-1] == "length"
    assert set(finishes[:-1]) == {None}


async def test_a_response_ends_so_too_and_tells_the_text_that_came(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=400, word_bytes=5, hold_after_chunks=9)
    events = []

    async def read() -> None:
        async with gateway.sdk(ledger.key(account)) as client:
            stream = await client.responses.create(model="swift-1", input="Hello", stream=True)
            events.extend([event async for event in stream])

    reading = asyncio.create_task(read())
    await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 9)
    drain(ledger, account)
    provider.record.release()
    await reading
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert (last.response.id, last.response.output_text) == (events[0].response.id, said)
    charged = own(ledger)
    assert 0 < len(said) <= SLICE
    assert last.response.usage.output_tokens == charged["usage"]["output_tokens"]
    assert (charged["finish"], charged["attempts"][-1]["reason"]) == ("length", "hold_used_up")


async def test_what_is_left_is_held_before_the_end(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, words=400, word_bytes=5, hold_after_chunks=5)
    reading = asyncio.create_task(streamed(gateway, ledger.key(account)))
    await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 5)
    drain(ledger, account, left=30 * 2_200)  # of a slice of 64
    provider.record.release()
    text, _ = await reading
    delivered = text_bytes(events_of(text))
    assert SLICE < delivered <= SLICE + 30
    [extended] = ledger.events("ReservationExtended")
    assert int(extended["added"]) <= 30 * 2_200


@pytest.mark.parametrize("refusal", ["unheard", "frozen"])
async def test_it_ends_too_when_the_ledger_is_away_or_the_account_frozen(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, refusal: str
):
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    script(provider, words=400, word_bytes=5, hold_after_chunks=5)
    reading = asyncio.create_task(streamed(gateway, key))
    await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 5)
    if refusal == "unheard":
        ledger.unheard = {"Extend"}
    else:
        ledger.freeze(account)
    provider.record.release()
    text, _ = await reading
    assert text.endswith(b"data: [DONE]\n\n")
    assert own(ledger)["finish"] == "length"
    assert not ledger.rules.reservations


async def test_an_extension_whose_answer_is_lost_is_settled_all_the_same(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    ledger.lost = {"Extend"}
    script(provider, words=400, word_bytes=5)
    await streamed(gateway, ledger.key(account))
    await all_closed(ledger)
    assert ledger.events("ReservationExtended")
    assert ledger.available(account) == DOLLAR - int(own(ledger)["charge"])
