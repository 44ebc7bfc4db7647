"""The recharge process: sees accounts fall, decides, asks the ledger, sweeps."""

import asyncio
import logging
from dataclasses import dataclass

from nats.aio.client import Client

from libs.catalogue import Catalogue, load
from libs.events.subjects import RECHARGE
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.database import Connection, Pool, connect, pool
from libs.runtime.errors import LedgerUnavailable
from libs.runtime.gap import gap_reader, incarnation_reader
from libs.runtime.health import Health, serve_health
from libs.runtime.permission_watch import PermissionWatch
from libs.runtime.pull import LedgerPull
from libs.runtime.supervision import Lifecycle
from services.recharge.asking import Asking
from services.recharge.looks import Looker
from services.recharge.offers import Offers
from services.recharge.policy import Standing
from services.recharge.rounds import Rounds
from services.recharge.schema import SCHEMA
from services.recharge.settings import RechargeSettings
from services.recharge.standing import ask_standing
from services.recharge.store import Store
from services.recharge.sweep import Sweep
from services.recharge.watcher import FELL, Watcher

log = logging.getLogger(__name__)

DURABLE = "recharge"
_AGAIN_S = 0.2


async def serve(settings: RechargeSettings, lifecycle: Lifecycle) -> None:
    """Watch and recharge accounts until the process is asked to stop.

    Raises CatalogueError, DatabaseUnavailable or BrokerUnavailable when it cannot start.
    """
    catalogue, health = load(settings.config), Health()
    async with (
        pool(settings, settings.connections) as connections,
        open_broker(settings, "recharge", lifecycle, health) as broker,
        serve_health(settings, health, lifecycle),
    ):
        watch = broker_watch(broker)
        process = assemble(settings, catalogue, broker.connection, watch, connections)
        health.add("ledger", process.problem)
        lifecycle.spawn(process.run(lifecycle, health), "recharge")
        await lifecycle.stopping.wait()
        await lifecycle.close()


@dataclass(slots=True)
class Process:
    """The parts that run, once the ledger has said who it is."""

    ledger: CommandClient
    rounds: Rounds
    sweep: Sweep
    pulls: list[LedgerPull]
    admitted: bool = False

    def problem(self) -> str | None:
        return None if self.admitted else "the ledger has not told its time"

    async def run(self, lifecycle: Lifecycle, health: Health) -> None:
        """Start everything; raises InstallationMismatch."""
        while not self.admitted:
            try:
                await self.ledger.check_installation()
                self.admitted = True
            except LedgerUnavailable as error:
                log.warning("not recharging yet: %s", error)
                await asyncio.sleep(_AGAIN_S)
        await self.sweep.schedule()
        for partition, pull in enumerate(self.pulls):
            health.add(f"events of partition {partition}", pull.problem)
            lifecycle.spawn(pull.run(), f"events-{partition}")
        lifecycle.spawn(self.rounds.follow(), "rounds")
        lifecycle.spawn(self.sweep.follow(), "sweep")


def assemble(
    settings: RechargeSettings,
    catalogue: Catalogue,
    nc: Client,
    watch: PermissionWatch,
    connections: Pool,
) -> Process:
    """Put the process together on its connections; nothing runs yet."""
    partitions = catalogue.ledger.partitions
    ledger = CommandClient(
        nc, command_class=RECHARGE, partitions=partitions, watch=watch, clock=SystemClock()
    )
    store, now = Store(connections), ledger.ledger_now

    async def ask_payments(subject: str, question: bytes) -> bytes:
        async with watch.guard(subject):
            answer = await nc.request(subject, question, timeout=settings.payments_timeout_s)
        return answer.data

    async def standing(account_id: str, min_position: int) -> Standing:
        return await ask_standing(ledger, account_id, min_position)

    async def own_connection() -> Connection:
        return await connect(settings)

    asking = Asking(
        store,
        ledger,
        start_within_s=settings.start_within_s,
        give_up_s=settings.ledger_give_up_s,
    )
    looker = Looker(store, asking, Offers(catalogue, ask_payments), standing, now, settings)
    rounds = Rounds(store, looker, now, idle_s=settings.idle_s)
    watcher = Watcher(now, rounds.wake, performed_within_s=settings.performed_within_s)
    pulls = [
        LedgerPull(
            nc,
            durable=DURABLE,
            partition=partition,
            types=(FELL,),
            schema=SCHEMA,
            connect=own_connection,
            apply=watcher.apply,
            fetch_gap=gap_reader(ledger, partition),
            fetch_incarnations=incarnation_reader(ledger, partition),
        )
        for partition in range(partitions)
    ]
    sweep = Sweep(nc, rounds.sweep, every_s=catalogue.recharge.sweep_s)
    return Process(ledger, rounds, sweep, pulls)
