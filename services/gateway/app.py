"""One gateway worker: its parts put together, its life."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from os import environ
from typing import Any

from libs.catalogue import load
from libs.events.subjects import USE
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.errors import LedgerUnavailable
from libs.runtime.health import Health, serve_health
from libs.runtime.supervision import Lifecycle
from services.gateway.asgi import Root
from services.gateway.attached import Openers
from services.gateway.billing.api import billing_api
from services.gateway.completion import Means
from services.gateway.context import Gateway
from services.gateway.drains import Drains
from services.gateway.idempotency.claims import open_claims
from services.gateway.journal import Journal
from services.gateway.key_cache import KeyCache
from services.gateway.key_feed import KeyFeed
from services.gateway.keys import KeyDirectory
from services.gateway.limits.billing import BillingRate
from services.gateway.limits.limiter import Limiter, open_limiter
from services.gateway.model_list import ModelList
from services.gateway.paid import PaidRequests
from services.gateway.pump import Pumps
from services.gateway.replay import Replay
from services.gateway.reservations import Reservations
from services.gateway.routing import Routing
from services.gateway.selling import Selling
from services.gateway.server import address_of, listen, serving
from services.gateway.settings import GatewaySettings
from services.gateway.unheld import Unheld
from services.gateway.upstreams import Upstreams

log = logging.getLogger(__name__)

_AGAIN_S = 0.2
_SERVER_GRACE_S = 2.0


async def serve(settings: GatewaySettings, lifecycle: Lifecycle) -> None:
    """Serve one gateway worker until the process is asked to stop.

    Raises CatalogueError, BrokerUnavailable or OSError when it cannot start.
    """
    catalogue = load(settings.config)
    address = address_of(settings.listen) if settings.listen else catalogue.gateway.listen
    health, clock = Health(), SystemClock()
    partitions = catalogue.ledger.partitions
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            open_broker(settings, "gateway", lifecycle, health)
        )
        ledger = CommandClient(
            broker.connection,
            command_class=USE,
            partitions=partitions,
            watch=broker_watch(broker),
            clock=clock,
        )
        cache = KeyCache(settings.key_cache_max)
        listening = listen(address, shared=settings.reuse_port)
        stack.callback(listening.close)
        port = int(listening.getsockname()[1])
        gateway = Gateway(
            settings=settings,
            catalogue=catalogue,
            ledger=ledger,
            keys=KeyDirectory(ledger, partitions=partitions, remembered=cache),
            nc=broker.connection,
            clock=clock,
            health=health,
            public_url=catalogue.gateway.public_url or f"http://{address[0]}:{port}",
        )
        worker = await stack.enter_async_context(open_worker(gateway))
        for name, job in _work(worker, cache).items():
            stack.push_async_callback(lifecycle.end, [lifecycle.spawn(job, name)])
        await stack.enter_async_context(worker.serving(listening))
        await stack.enter_async_context(serve_health(settings, health, lifecycle, {"http": port}))
        await lifecycle.stopping.wait()


def _work(worker: "Worker", cache: KeyCache) -> dict[str, Coroutine[Any, Any, None]]:
    """What goes on beside the requests, by name."""
    gateway = worker.gateway
    work = {
        "journal": worker.replay.run(),
        "installation": worker.admit(),
        "catalogue": worker.selling.run(),
    }
    if gateway.settings.key_cache_max:
        partitions = gateway.catalogue.ledger.partitions
        feed = KeyFeed(gateway.nc, cache, partitions=partitions, clock=gateway.clock)
        work["keys"] = feed.run()
    return work


@dataclass(frozen=True)
class Worker:
    """The parts of a worker that have a life of their own."""

    gateway: Gateway
    root: Root
    paid: PaidRequests
    pumps: Pumps
    means: Means
    journal: Journal
    replay: Replay
    limiter: Limiter
    selling: Selling

    def serving(self, listening: socket.socket) -> AbstractAsyncContextManager[None]:
        """Serve on a socket; at the end running requests are finished or given back."""
        grace_s = self.gateway.settings.shutdown_grace_s
        finish = partial(self.pumps.drain, grace_s)
        return serving(
            self.root,
            listening,
            finish,
            grace_s=grace_s + _SERVER_GRACE_S,
            stall_s=self.gateway.settings.client_stall_s,
        )

    async def admit(self) -> None:
        """Take paid requests once the ledger has said who it is; raises InstallationMismatch."""
        while not self.paid.open:
            try:
                await self.gateway.ledger.check_installation()
            except LedgerUnavailable as error:
                log.warning("not taking requests yet: %s", error)
                await asyncio.sleep(_AGAIN_S)
            else:
                self.paid.open = True


def _reservations(gateway: Gateway, journal: Journal, selling: Selling) -> Reservations:
    return Reservations(
        gateway.ledger,
        journal,
        catalogue=gateway.catalogue.hash,
        hold_ms=gateway.settings.hold_ms,
        top_up_url=f"{gateway.public_url}/billing/v1/packs",
        unsold=selling.refused,
        attached_hold_ms=gateway.settings.attached_hold_ms,
    )


def _upstreams(gateway: Gateway, environment: Mapping[str, str]) -> Upstreams:
    upstreams = Upstreams(
        gateway.catalogue, answer_max=gateway.settings.answer_max, environment=environment
    )
    for name in upstreams.without_key:
        log.warning("no key for upstream %s: it is called without one", name)
    return upstreams


def _means(upstreams: Upstreams, settings: GatewaySettings) -> Means:
    return Means(
        upstreams,
        Routing(failures=settings.breaker_failures, pause_s=settings.breaker_pause_s),
        Drains(settings.drains_max, settings.drains_account_max),
        Unheld(settings.unheld_percent),
        settings,
    )


def _root(gateway: Gateway, paid: PaidRequests, limiter: Limiter, openers: Openers) -> Root:
    """All that is served, by its path."""
    rate = BillingRate(limiter, gateway.settings.billing_requests_per_minute, gateway.clock.now)
    models = ModelList(gateway.keys, paid.offers)
    billing = billing_api(gateway, rate, openers)
    return Root(gateway.catalogue, paid, models, billing, gateway.health)


def _watch(health: Health, journal: Journal, selling: Selling, paid: PaidRequests) -> None:
    health.add("journal", journal.problem)
    health.add("catalogue", selling.problem)
    health.add("ledger", lambda: None if paid.open else "has not told its time")


@contextlib.asynccontextmanager
async def open_worker(
    gateway: Gateway, environment: Mapping[str, str] = environ
) -> AsyncIterator[Worker]:
    """Put a worker together.

    Raises OSError when the journal cannot be opened.
    """
    settings, catalogue, clock = gateway.settings, gateway.catalogue, gateway.clock
    journal = Journal(settings.data_dir / "journal", clock, min_free=settings.journal_min_free)
    await journal.open()
    selling = Selling(gateway.ledger, catalogue.hash, catalogue.ledger.partitions)
    pumps = Pumps(_reservations(gateway, journal, selling))
    openers = Openers(gateway.ledger)
    try:
        async with (
            _upstreams(gateway, environment) as upstreams,
            open_limiter(clock, settings.redis_url, timeout_s=settings.redis_timeout_s) as limiter,
            open_claims(gateway) as claims,
        ):
            means = _means(upstreams, settings)
            paid = PaidRequests(gateway, means, pumps, limiter, openers, claims)
            _watch(gateway.health, journal, selling, paid)
            yield Worker(
                gateway=gateway,
                root=_root(gateway, paid, limiter, openers),
                paid=paid,
                pumps=pumps,
                means=means,
                journal=journal,
                replay=Replay(journal, gateway.ledger),
                limiter=limiter,
                selling=selling,
            )
    finally:
        await journal.close()
