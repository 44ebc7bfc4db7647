"""A client may go at any moment: what it asked for is settled, exactly once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from services.gateway.drains import Drains
from tests.support.catalogue import ANTHROPIC, EXAMPLE
from tests.support.gateway import DOLLAR, catalogue_for
from tests.support.raw_gateway import BROKEN, Client, RawGateway, Scripted, raw_gateway
from tests.support.scripted_streams import OUTPUT, STREAMS, Stream

pytestmark = pytest.mark.requirement("RSV-2", "RSV-6")

CATALOGUE = catalogue_for("http://up", ANTHROPIC)
CANCEL = '\non_disconnect = "cancel"'
CANCELLING = catalogue_for(
    "http://up",
    ANTHROPIC,
    **{
        "default_max_output = 4096": "default_max_output = 4096" + CANCEL,
        'routes = ["west/verse-1-b"]': 'routes = ["west/verse-1-b"]' + CANCEL,
    },
)


def moments(count: Callable[[Stream], int], *more: int | None) -> list:
    """Each surface with each event after which its client goes; None: it stays."""
    return [
        pytest.param(stream, leaves, id=f"{name}-{leaves}")
        for name, stream in STREAMS.items()
        for leaves in (*range(count(stream)), *more)
    ]


async def one(
    gateway: RawGateway, stream: Stream, pieces: list, leaves: int | None
) -> tuple[Client, Scripted]:
    """A stream whose upstream sends the next event when the client has the last one, or is gone."""
    client = Client(stream.asked, leaves)
    sent = 0

    async def pace() -> None:
        nonlocal sent
        while not client.left.is_set() and len(client.bodies) < min(sent, len(stream.relayed)):
            client.moved.clear()
            await client.moved.wait()
        for _ in range(3):  # the gateway notices that it is gone
            await asyncio.sleep(0)
        sent += 1

    scripted = Scripted(pieces, pace=pace)
    gateway.upstreams.script = lambda: scripted
    account = gateway.ledger.account(DOLLAR)
    await gateway.ask(client, gateway.ledger.key(account), path=stream.path)
    assert not gateway.ledger.rules.reservations
    return client, scripted


@pytest.mark.parametrize(("stream", "leaves"), moments(lambda stream: len(stream.whole) + 1, None))
async def test_at_every_event_index_one_settlement_of_what_was_used(
    tmp_path: Path, stream: Stream, leaves: int | None
):
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        await one(gateway, stream, stream.whole, leaves)
        assert gateway.ledger.kinds() == ["Reserve", "Settle"]
        [charged] = gateway.ledger.events("CreditsCharged")
        assert (charged["basis"], charged["usage"]["output_tokens"]) == ("actual", OUTPUT)
        assert gateway.worker.means.drains.free == 100


@pytest.mark.parametrize(("stream", "leaves"), moments(lambda stream: 5))
@pytest.mark.parametrize("how", ["no_place", "cancel"])
async def test_where_it_is_not_read_on_what_was_delivered_is_estimated(
    tmp_path: Path, stream: Stream, leaves: int, how: str
):
    catalogue = CANCELLING if how == "cancel" else CATALOGUE
    places = 0 if how == "no_place" else 100
    async with raw_gateway(tmp_path, catalogue, drains_max=places) as gateway:
        _, scripted = await one(gateway, stream, stream.whole, leaves)
        assert gateway.ledger.kinds() == ["Reserve", "Settle"]
        [charged] = gateway.ledger.events("CreditsCharged")
        assert charged["basis"] == "estimate"
        assert charged["usage"]["output_tokens"] <= leaves + 1
        assert scripted.closed or leaves == 0
        assert gateway.worker.means.drains.free == places


@pytest.mark.parametrize(("stream", "leaves"), moments(lambda stream: 5, None))
async def test_a_provider_that_dies_after_it_gives_all_back_once(
    tmp_path: Path, stream: Stream, leaves: int | None
):
    async with raw_gateway(tmp_path, CATALOGUE) as gateway:
        await one(gateway, stream, [*stream.relayed[:4], BROKEN], leaves)
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
