"""The admin process: /admin/v1 on its own port, as its own NATS user."""

from libs.catalogue import load
from libs.events.subjects import ADMIN
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.health import Health, serve_health
from libs.runtime.supervision import Lifecycle
from services.gateway.admin.api import admin_api, holder_of
from services.gateway.admin.context import Admin
from services.gateway.admin.server import serve_app, split_address
from services.gateway.settings import AdminSettings


async def serve(settings: AdminSettings, lifecycle: Lifecycle) -> None:
    """Serve the admin API until the process is asked to stop.

    Raises CatalogueError, BrokerUnavailable, InstallationMismatch or LedgerUnavailable when it
    cannot start, ValueError without an admin token.
    """
    catalogue = load(settings.config)
    authorize = holder_of(settings.admin_token.get_secret_value())
    health = Health()
    partitions = catalogue.ledger.partitions
    async with open_broker(settings, ADMIN, lifecycle, health) as broker:
        ledger = CommandClient(
            broker.connection,
            command_class=ADMIN,
            partitions=partitions,
            watch=broker_watch(broker),
            clock=SystemClock(),
        )
        await ledger.check_installation()
        app = admin_api(Admin(catalogue, ledger), authorize)
        listen = catalogue.gateway.admin_listen
        address = split_address(settings.listen) if settings.listen else listen
        async with (
            serve_app(app, address, lifecycle) as port,
            serve_health(settings, health, lifecycle, {"http": port}),
        ):
            await lifecycle.stopping.wait()
