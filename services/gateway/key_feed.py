"""Hears every event that changes what a key may do, and knows when it no longer hears them.

One short-lived push consumer for each partition and event type: the right to make one with several
types would be the right to read all events. Each sends heartbeats; a missing one, or a gap in a
consumer's own numbers, means that a change may be missed.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from libs.events import subjects
from libs.runtime.clock import Clock
from services.gateway.key_cache import KeyCache

log = logging.getLogger(__name__)

CHANGES: Final = (
    "AccountClosed",
    "AccountFrozen",
    "AccountUnfrozen",
    "KeyIssued",
    "KeyRevoked",
    "PlanChanged",
)
HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 2.5
_INACTIVE_S: Final = 30.0
_AGAIN_S: Final = 1.0


class FeedBrokenError(Exception):
    """A change may have been missed."""


class KeyFeed:
    """Tells a cache of every change, or that it must not be trusted."""

    def __init__(self, nc: Client, cache: KeyCache, *, partitions: int, clock: Clock) -> None:
        self._nc = nc
        self._cache = cache
        self._partitions = partitions
        self._clock = clock
        self._consumers: list[_Consumer] = []
        self._broken: str | None = None

    async def run(self) -> None:
        """Listen for ever; while it cannot, the cache is empty and stays empty."""
        last = ""
        while True:
            try:
                await self._listen()
            except (FeedBrokenError, nats.errors.Error, TimeoutError) as error:
                if repr(error) != last:
                    log.warning("keys are not remembered: %r", error)
                last = repr(error)
            finally:
                self._cache.deafen()
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        """Listen until something is wrong, and raise it."""
        self._consumers, self._broken = [], None
        try:
            for partition in range(self._partitions):
                for change in CHANGES:
                    await self._consume(partition, change)
            self._cache.listen()
            while True:
                self._check()
                await asyncio.sleep(HEARTBEAT_S / 4)
        finally:
            for consumer in self._consumers:
                with contextlib.suppress(nats.errors.Error):  # of a closed connection, nothing
                    await consumer.subscription.unsubscribe()

    async def _consume(self, partition: int, change: str) -> None:
        # The server delivers to a subject only while somebody listens to exactly that subject.
        inbox = self._nc.new_inbox()
        consumer = _Consumer(partition, self._clock.monotonic())
        consumer.subscription = await self._nc.subscribe(inbox, cb=partial(self._hear, consumer))
        self._consumers.append(consumer)
        config = ConsumerConfig(
            name=uuid.uuid4().hex,
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.NONE,
            filter_subject=subjects.event(partition, change),
            idle_heartbeat=HEARTBEAT_S,
            inactive_threshold=_INACTIVE_S,
            mem_storage=True,
            num_replicas=1,
        )
        await self._nc.jetstream().add_consumer(subjects.stream(partition), config)

    def _check(self) -> None:
        if self._broken is not None:
            raise FeedBrokenError(self._broken)
        if not self._nc.is_connected:
            raise FeedBrokenError("disconnected")
        oldest = min(consumer.heard for consumer in self._consumers)
        if self._clock.monotonic() - oldest > _SILENCE_S:
            raise FeedBrokenError("a heartbeat is missing")

    async def _hear(self, consumer: "_Consumer", message: Msg) -> None:
        try:
            if message.headers and message.headers.get("Status") == "100":
                self._on_heartbeat(consumer, message.headers)
            else:
                self._on_event(consumer, message)
        except Exception as error:  # noqa: BLE001 - whatever it was, a change may be missed
            self._broken = f"a message cannot be understood: {error!r}"
        if self._broken is not None:
            self._cache.deafen()

    def _on_heartbeat(self, consumer: "_Consumer", headers: Mapping[str, str]) -> None:
        consumer.heard = self._clock.monotonic()
        if int(headers["Nats-Last-Consumer"]) != consumer.delivered:
            self._broken = "an event is missing"

    def _on_event(self, consumer: "_Consumer", message: Msg) -> None:
        consumer.heard = self._clock.monotonic()
        consumer.delivered += 1
        if message.metadata.sequence.consumer != consumer.delivered:
            self._broken = "an event is missing"
        body = orjson.loads(message.data)
        self._cache.changed(consumer.partition, body["position"], body["account_id"])


@dataclass(slots=True)
class _Consumer:
    """How far one consumer has come, and when it was last heard (monotonic seconds)."""

    partition: int
    heard: float
    delivered: int = 0
    subscription: Subscription = field(init=False)
