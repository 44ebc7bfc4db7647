"""Streams that end badly by the client's doing or by a limit of ours are not free."""

import asyncio
from pathlib import Path

import orjson
import pytest

from services.gateway import completion
from services.gateway.pieces import MOST_PIECES
from tests.support.deadlines import ToldDeadline
from tests.support.gateway import DOLLAR, catalogue_for, until
from tests.support.raw_gateway import (
    BROKEN,
    REPORT,
    Client,
    RawGateway,
    Scripted,
    event,
    raw_gateway,
    said,
)
from tests.support.scripted_streams import STREAMS

pytestmark = pytest.mark.requirement("RSV-2")

CATALOGUE = catalogue_for("http://up")
ASKED = STREAMS["chat"].asked
WORDS = [said("four"), said("five", "stop")]


async def one(gateway: RawGateway, scripted: Scripted, client: Client | None = None) -> dict:
    """One stream, and the only thing that it came to."""
    gateway.upstreams.script = lambda: scripted
    account = gateway.ledger.account(DOLLAR)
    client = client or Client(ASKED)
    await gateway.ask(client, gateway.ledger.key(account))
    assert gateway.ledger.kinds() == ["Reserve", "Settle"]
    [charged] = gateway.ledger.events("CreditsCharged")
    return charged | {"text": client.text}


def then(pieces: list, stop) -> Scripted:
    """These pieces, and then what `stop` waits for before the last of them."""
    left = len(pieces)

    async def pace() -> None:
        nonlocal left
        left -= 1
        await (asyncio.sleep(0) if left else stop())

    return Scripted(pieces, pace=pace)


async def test_a_stream_longer_than_our_time_pays_for_what_was_sent(
    tmp_path: Path, deadlines: list[ToldDeadline]
):
    async def too_long() -> None:
        deadlines[0].latest_in(0)
        await asyncio.Event().wait()

    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        charged = await one(gateway, then([said("four"), b""], too_long))
    assert (charged["basis"], charged["usage"]["output_tokens"]) == ("estimate", 2)
    assert b"upstream_timeout" in charged["text"]
    assert b"Nothing was charged" not in charged["text"]


@pytest.mark.parametrize("patience", [0.0, 60.0])
async def test_who_makes_a_provider_wait_until_it_breaks_off_pays_for_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
):
    monkeypatch.setattr(completion, "_PATIENCE_S", patience)
    reading = asyncio.Event()

    class Slow(Client):
        async def send(self, message) -> None:
            await super().send(message)
            if message["type"] == "http.response.body":
                await reading.wait()

    client = Slow(ASKED)
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        gateway.upstreams.script = lambda: Scripted([said("four")] * (MOST_PIECES * 2) + [BROKEN])
        key = gateway.ledger.key(gateway.ledger.account(DOLLAR))
        asking = asyncio.create_task(gateway.ask(client, key))
        await until(lambda: [one for one in gateway.worker.pumps.exchanges() if one.full])
        reading.set()
        await asking
        # Who is quick enough has done nothing: the provider failed.
        paid = ["Reserve", "Settle" if patience == 0.0 else "Release"]
        assert gateway.ledger.kinds() == paid


@pytest.mark.parametrize("report", [[REPORT], []])
async def test_a_connection_that_breaks_after_the_answers_end_costs_the_answer(
    tmp_path: Path, report: list
):
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        charged = await one(gateway, Scripted([*WORDS, *report, b"data: [DO", BROKEN]))
    assert charged["basis"] == ("actual" if report else "estimate")
    assert charged["usage"]["output_tokens"] == (5 if report else 3)
    assert charged["text"] == b"".join(WORDS)


async def test_a_provider_that_keeps_quiet_after_the_answers_end_is_paid(
    tmp_path: Path, deadlines: list[ToldDeadline]
):
    async def quiet() -> None:
        deadlines[0].within(0)
        await asyncio.Event().wait()

    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        charged = await one(gateway, then([*WORDS, REPORT, b""], quiet))
    assert (charged["basis"], charged["text"]) == ("actual", b"".join(WORDS))


async def test_an_event_larger_than_we_take_does_not_give_all_back(tmp_path: Path):
    huge = event({"choices": [], "echo": "e" * (16 * 1024 * 1024)}, end=b"\n")
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        charged = await one(gateway, Scripted([said("four"), huge]))
        assert gateway.upstreams.calls == 1
    assert (charged["basis"], charged["usage"]["output_tokens"]) == ("estimate", 2)
    assert charged["usage"]["input_tokens"] >= len(orjson.loads(ASKED)["messages"])
