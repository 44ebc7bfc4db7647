"""The payments process: the public port, the questions of other services, and the workers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from faststream.nats import NatsBroker

from libs.catalogue import Catalogue, load
from libs.events.subjects import MONEY
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import Clock, SystemClock
from libs.runtime.command_client import CommandClient, LedgerUnavailable
from libs.runtime.database import Connection, Pool, connect, pool
from libs.runtime.gap import gap_reader, incarnation_reader
from libs.runtime.health import Health, serve_health
from libs.runtime.pull import LedgerPull
from libs.runtime.supervision import Lifecycle
from services.payments.assembly import Parts, assemble
from services.payments.attempts import record
from services.payments.gauges import Gauges
from services.payments.links import Links
from services.payments.requests import answer_requests
from services.payments.schema import SCHEMA
from services.payments.server import listening, public_app, serving, split_address
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import StripeApi, open_client
from services.payments.worker import keep_running

log = logging.getLogger(__name__)

USER = "payments"
POOL_SIZE = 16


async def serve(settings: PaymentsSettings, lifecycle: Lifecycle) -> None:
    """Take webhooks, sell packs and collect recharges until the process is asked to stop.

    Deliveries are stored from the start; what needs the ledger waits until it answers.
    Raises CatalogueError, DatabaseUnavailable, BrokerUnavailable or OSError (port taken).
    """
    catalogue = load(settings.config)
    clock, health = SystemClock(), Health()
    _warn_of_gaps(settings)
    address = split_address(settings.listen) if settings.listen else catalogue.payments.listen
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(listening(address))
        number = int(port.getsockname()[1])
        links = Links(catalogue.payments.public_url or _local_url(address[0], number))
        tables = await stack.enter_async_context(pool(settings, POOL_SIZE))
        stripe = StripeApi(await stack.enter_async_context(open_client(settings)))
        broker = await stack.enter_async_context(open_broker(settings, USER, lifecycle, health))
        ledger = CommandClient(
            broker.connection,
            command_class=MONEY,
            partitions=catalogue.ledger.partitions,
            watch=broker_watch(broker),
            clock=clock,
        )
        parts = assemble(settings, catalogue, tables, ledger, stripe, clock, links)
        await answer_requests(broker, parts.desk)
        work = _Work(settings, catalogue, tables, ledger, broker, parts, clock, health)
        await stack.enter_async_context(work.running(lifecycle))
        app = public_app(parts.endpoint, parts.page)
        await stack.enter_async_context(serving(app, port, lifecycle))
        ports = {"http": number}
        await stack.enter_async_context(serve_health(settings, health, lifecycle, ports))
        await lifecycle.stopping.wait()


class _Work:
    """What runs by itself once the ledger has been heard."""

    def __init__(
        self,
        settings: PaymentsSettings,
        catalogue: Catalogue,
        tables: Pool,
        ledger: CommandClient,
        broker: NatsBroker,
        parts: Parts,
        clock: Clock,
        health: Health,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._parts = parts
        self._clock = clock
        self._gauges = Gauges(tables, clock)
        self._heard = False
        self._pulls = [
            LedgerPull(
                broker.connection,
                durable=USER,
                partition=partition,
                types=("RechargeStarted",),
                schema=SCHEMA,
                connect=lambda: connect(settings),
                apply=self._started,
                fetch_gap=gap_reader(ledger, partition),
                fetch_incarnations=incarnation_reader(ledger, partition),
            )
            for partition in range(catalogue.ledger.partitions)
        ]
        health.add("ledger", lambda: None if self._heard else "the ledger was not heard yet")
        for partition, pull in enumerate(self._pulls):
            health.add(f"events {partition}", pull.problem)

    @contextlib.asynccontextmanager
    async def running(self, lifecycle: Lifecycle) -> AsyncIterator[None]:
        """Run beside the caller; cancelled, and waited for, before connections are closed."""
        tasks: list[asyncio.Task[None]] = []

        async def start() -> None:
            await self._hear_ledger()
            tasks.extend(lifecycle.spawn(work, name) for name, work in self._works())

        tasks.append(lifecycle.spawn(start(), "start"))
        try:
            yield
        finally:
            await lifecycle.end(tasks[:1])  # then nothing is started any more
            await lifecycle.end(tasks)

    def _works(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        settings, parts = self._settings, self._parts
        for partition, pull in enumerate(self._pulls):
            yield f"events-{partition}", pull.run()
        inbox = keep_running(parts.worker.run_due, parts.inbox_filled, settings.inbox_tick_s)
        yield "inbox", inbox
        collect = keep_running(
            parts.collector.run_due, parts.attempts_filled, settings.collect_tick_s
        )
        yield "collect", collect
        yield "reconcile", parts.reconciler.keep_running()
        yield "gauges", self._gauges.keep_running()

    async def _hear_ledger(self) -> None:
        """Wait for the ledger; InstallationMismatch ends the process."""
        while not self._heard:
            try:
                await self._ledger.check_installation()
                self._heard = True
            except LedgerUnavailable as error:
                log.warning("%s", error)

    async def _started(self, connection: Connection, body: dict[str, Any]) -> None:
        await record(connection, body, self._clock.now())


def _local_url(host: str, port: int) -> str:
    """Where this port is reached from the machine itself."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _warn_of_gaps(settings: PaymentsSettings) -> None:
    """Without Stripe's secrets nothing can be bought, but everything else may go on."""
    if not settings.stripe_api_key.get_secret_value():
        log.warning("FAREBOX_STRIPE_API_KEY is not set: nothing can be bought or recharged")
    if not settings.webhook_secrets:
        log.warning("FAREBOX_STRIPE_WEBHOOK_SECRET is not set: every delivery is refused")
