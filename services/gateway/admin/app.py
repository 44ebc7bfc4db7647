"""The admin process: /admin/v1 on its own port, as its own NATS user."""

import asyncio
import logging

from libs.catalogue import Catalogue, load
from libs.events.subjects import ADMIN
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.errors import LedgerUnavailable, QueryFailed
from libs.runtime.health import Health, serve_health
from libs.runtime.supervision import Lifecycle
from services.gateway.admin.api import admin_api
from services.gateway.admin.context import Admin
from services.gateway.admin.kept import QuarantineStream
from services.gateway.admin.roles import holders, operators
from services.gateway.problems import Problem
from services.gateway.publishing import publish_first
from services.gateway.server import address_of, listen, serving
from services.gateway.settings import AdminSettings

log = logging.getLogger(__name__)

_AGAIN_S = 0.2
_GRACE_S = 5.0


async def serve(settings: AdminSettings, lifecycle: Lifecycle) -> None:
    """Serve the admin API until the process is asked to stop.

    Raises CatalogueError, BrokerUnavailable or OSError when it cannot start, ValueError without
    an operator, or for a credential that is none.
    """
    catalogue = load(settings.config)
    authorize = holders(
        operators(settings.admin_token.get_secret_value(), settings.admin_tokens.get_secret_value())
    )
    address = address_of(settings.listen) if settings.listen else catalogue.gateway.admin_listen
    health = Health()
    async with open_broker(settings, ADMIN, lifecycle, health) as broker:
        ledger = CommandClient(
            broker.connection,
            command_class=ADMIN,
            partitions=catalogue.ledger.partitions,
            watch=broker_watch(broker),
            clock=SystemClock(),
        )
        met = asyncio.Event()
        health.add("ledger", lambda: None if met.is_set() else "has not told its time")
        lifecycle.spawn(_meet(ledger, catalogue, met), "installation")
        app = admin_api(Admin(catalogue, ledger, QuarantineStream(broker.connection)), authorize)
        listening = listen(address, shared=False)
        ports = {"http": int(listening.getsockname()[1])}
        async with (
            serving(app, listening, grace_s=_GRACE_S),
            serve_health(settings, health, lifecycle, ports),
        ):
            await lifecycle.stopping.wait()


async def _meet(ledger: CommandClient, catalogue: Catalogue, met: asyncio.Event) -> None:
    """Learn the ledger's time, and publish the first catalogue that it sells by.

    Raises InstallationMismatch, which ends the process.
    """
    while not met.is_set():
        try:
            await ledger.check_installation()
            await publish_first(ledger, catalogue.ledger.partitions, catalogue)
            met.set()
        except (LedgerUnavailable, QueryFailed, Problem) as error:
            log.warning("the ledger does not answer yet: %s", error)
            await asyncio.sleep(_AGAIN_S)
