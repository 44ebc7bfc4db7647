"""Changes of keys are heard within moments, and deafness is noticed (on a real NATS server)."""

from collections.abc import AsyncIterator

import orjson
import pytest
from nats.aio.client import Client

from deploy.local.stack import LocalStack
from libs.events.ids import new_id
from libs.events.subjects import event
from libs.runtime.clock import SystemClock
from libs.runtime.ending import beside
from libs.runtime.positions import Incarnation
from libs.runtime.streams import recreate
from services.gateway.key_cache import KeyCache
from services.gateway.key_feed import CHANGES, KeyFeed, _Consumer
from services.gateway.keys import KeyInfo
from tests.support.database import PARTITIONS
from tests.support.gateway import until
from tests.support.nats import connected

pytestmark = pytest.mark.requirement("ACC-5")


class Hearing(KeyCache):
    """A cache that notes what it is told."""

    def __init__(self) -> None:
        super().__init__(100)
        self.heard: list[tuple[int, int, str]] = []
        self.deaf = 0

    def changed(self, partition: int, position: int, account_id: str) -> None:
        self.heard.append((partition, position, account_id))
        super().changed(partition, position, account_id)

    def deafen(self) -> None:
        self.deaf += self._listening
        super().deafen()

    @property
    def listening(self) -> bool:
        return self._listening


@pytest.fixture
async def client(streams: LocalStack) -> AsyncIterator[Client]:
    async with connected(streams, "gateway") as connection:
        yield connection


@pytest.fixture
async def relay(streams: LocalStack) -> AsyncIterator[Client]:
    async with connected(streams, "ledger") as connection:
        yield connection


@pytest.fixture
async def cache(client: Client) -> AsyncIterator[Hearing]:
    """A cache that is being told of changes."""
    hearing = Hearing()
    feed = KeyFeed(client, hearing, partitions=PARTITIONS, clock=SystemClock())
    async with beside(feed.run()):
        await until(lambda: hearing.listening)
        yield hearing


async def tell(relay: Client, partition: int, type_name: str, position: int = 1) -> str:
    """Publish an event as the relay does."""
    account_id = new_id("acct")
    body = orjson.dumps({"position": position, "account_id": account_id})
    await relay.request(event(partition, type_name), body, timeout=5)
    return account_id


async def test_every_change_in_every_partition_is_heard(cache: Hearing, relay: Client):
    expected = [
        (partition, 7, await tell(relay, partition, change, 7))
        for partition in range(PARTITIONS)
        for change in CHANGES
    ]
    await until(lambda: len(cache.heard) == len(expected))
    assert sorted(cache.heard) == sorted(expected)
    assert cache.listening


async def test_other_events_are_not_sent_here(cache: Hearing, relay: Client):
    await tell(relay, 0, "CreditsReserved")
    account = await tell(relay, 0, "KeyRevoked")
    await until(lambda: cache.heard)
    assert [found[2] for found in cache.heard] == [account]


async def test_a_remembered_key_is_forgotten_when_it_is_revoked(cache: Hearing, relay: Client):
    account = new_id("acct")
    info = KeyInfo(
        new_id("key"), account, "inference", None, "USD", "payg", "active", "open", None, 5
    )
    cache.put("hash", 0, info, cache.ask())
    assert cache.get("hash") == info
    body = orjson.dumps({"position": 6, "account_id": account})
    await relay.request(event(0, "KeyRevoked"), body, timeout=5)
    await until(lambda: cache.get("hash") is None)


async def test_an_event_that_was_missed_makes_it_forget_everything(
    cache: Hearing, relay: Client, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """A consumer's own numbers have no gap; where one is, what was remembered is worth nothing."""
    original = KeyFeed._on_event
    skipped: list[object] = []

    def lose_the_first(self: KeyFeed, consumer, message) -> None:
        if not skipped:
            skipped.append(message)
            return
        original(self, consumer, message)

    monkeypatch.setattr(KeyFeed, "_on_event", lose_the_first)
    await tell(relay, 0, "KeyRevoked")
    await tell(relay, 0, "KeyRevoked")
    await until(lambda: cache.deaf)
    await until(lambda: cache.listening)  # and it begins anew


async def test_a_gap_between_two_events_is_noticed_at_once():
    class Second:
        data = b'{"position": 9, "account_id": "acct_1"}'

        class metadata:
            class sequence:
                consumer = 2

        headers = None

    hearing = Hearing()
    hearing.listen()
    feed = KeyFeed(Client(), hearing, partitions=1, clock=SystemClock())
    await feed._hear(_Consumer(0, 0.0), Second())
    assert hearing.deaf


async def test_a_missing_event_is_noticed_by_the_next_heartbeat(
    cache: Hearing, relay: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(KeyFeed, "_on_event", lambda *_: None)
    await tell(relay, 0, "KeyRevoked")
    await until(lambda: cache.deaf)


async def test_silence_is_deafness(cache: Hearing, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(KeyFeed, "_on_heartbeat", lambda *_: None)
    await until(lambda: cache.deaf)


async def test_a_lost_connection_is_deafness_at_once(
    cache: Hearing, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Client, "is_connected", property(lambda _: False))
    await until(lambda: cache.deaf)
    monkeypatch.undo()
    await until(lambda: cache.listening)


async def test_a_stream_made_anew_is_deafness_and_then_heard_from_where_it_begins(
    cache: Hearing, relay: Client, streams: LocalStack
):
    """After a restore positions come again that were heard before: they must not count as old."""
    await tell(relay, 0, "KeyRevoked", position=900)
    await until(lambda: cache.heard)
    async with connected(streams, "provision") as provision:
        await recreate(provision, 0, Incarnation(2, 5))
    await until(lambda: cache.deaf)
    await until(lambda: cache.listening)
    account = await tell(relay, 0, "KeyRevoked", position=5)
    await until(lambda: cache.heard[-1] == (0, 5, account))
    info = KeyInfo(
        new_id("key"), account, "inference", None, "USD", "payg", "active", "open", None, 6
    )
    cache.put("hash", 0, info, cache.ask())
    assert cache.get("hash") == info, "an answer as of position 6 is newer than what was heard"


async def test_what_cannot_be_understood_is_deafness(cache: Hearing, relay: Client):
    await relay.request(event(0, "KeyRevoked"), b"rubbish", timeout=5)
    await until(lambda: cache.deaf)
