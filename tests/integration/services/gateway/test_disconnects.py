"""A client may go at any moment: what it asked for is settled, exactly once."""

import asyncio
from pathlib import Path

import orjson
import pytest

from services.gateway.drains import Drains
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import DOLLAR, catalogue_for
from tests.support.raw_gateway import (
    BROKEN,
    DONE,
    REPORT,
    Client,
    RawGateway,
    Scripted,
    raw_gateway,
    said,
)

pytestmark = pytest.mark.requirement("RSV-2", "RSV-6")

WORDS = [said("a "), said("b "), said("c "), said("d "), said("e", "stop")]
WHOLE = [*WORDS, REPORT, DONE]
ASKED = orjson.dumps(
    {"model": "swift-1", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
)
CATALOGUE = catalogue_for("http://up")
CANCELLING = catalogue_for(
    "http://up",
    **{"default_max_output = 4096": 'default_max_output = 4096\non_disconnect = "cancel"'},
)


async def one(gateway: RawGateway, pieces: list, leaves: int | None) -> tuple[Client, Scripted]:
    """A stream whose upstream sends the next event when the client has the last one, or is gone."""
    client = Client(ASKED, leaves)
    sent = 0

    async def pace() -> None:
        nonlocal sent
        while not client.left.is_set() and len(client.bodies) < min(sent, len(WORDS)):
            client.moved.clear()
            await client.moved.wait()
        for _ in range(3):  # the gateway notices that it is gone
            await asyncio.sleep(0)
        sent += 1

    scripted = Scripted(pieces, pace=pace)
    gateway.upstreams.script = lambda: scripted
    account = gateway.ledger.account(DOLLAR)
    await gateway.ask(client, gateway.ledger.key(account))
    assert not gateway.ledger.rules.reservations
    return client, scripted


@pytest.mark.parametrize("leaves", [*range(len(WHOLE) + 1), None])
async def test_at_every_event_index_one_settlement_of_what_was_used(
    tmp_path: Path, leaves: int | None
):
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        await one(gateway, WHOLE, leaves)
        assert gateway.ledger.kinds() == ["Reserve", "Settle"]
        [charged] = gateway.ledger.events("CreditsCharged")
        assert (charged["basis"], charged["usage"]["output_tokens"]) == ("actual", 5)
        assert gateway.worker.drains.free == 100


@pytest.mark.parametrize("leaves", range(len(WORDS)))
@pytest.mark.parametrize("how", ["no_place", "cancel"])
async def test_where_it_is_not_read_on_what_was_delivered_is_estimated(
    tmp_path: Path, leaves: int, how: str
):
    catalogue = CANCELLING if how == "cancel" else CATALOGUE
    places = 0 if how == "no_place" else 100
    async with raw_gateway(tmp_path, catalogue, drains_max=places) as gateway:
        _, scripted = await one(gateway, WHOLE, leaves)
        assert gateway.ledger.kinds() == ["Reserve", "Settle"]
        [charged] = gateway.ledger.events("CreditsCharged")
        assert charged["basis"] == "estimate"
        assert charged["usage"]["output_tokens"] <= leaves + 1
        assert scripted.closed or leaves == 0
        assert gateway.worker.drains.free == places


@pytest.mark.parametrize("leaves", [*range(len(WORDS)), None])
async def test_a_provider_that_dies_after_it_gives_all_back_once(
    tmp_path: Path, leaves: int | None
):
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        await one(gateway, [*WORDS[:4], BROKEN], leaves)
        assert gateway.ledger.kinds() == ["Reserve", "Release"]


def test_places_to_read_on_are_shared_between_accounts():
    drains = Drains(3, 2)
    assert [drains.claim("a") for _ in range(3)] == [True, True, False]
    assert [drains.claim("b") for _ in range(2)] == [True, False]
    drains.give_back("a")
    assert drains.claim("b")
    assert not drains.claim("a")
    assert drains.free == 0


def test_the_example_is_drained():
    assert "on_disconnect" not in EXAMPLE
    assert CATALOGUE.models["swift-1"].on_disconnect == "drain"
