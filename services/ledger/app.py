"""The ledger process: intake, writer, expiry and relay of every partition it leads."""

import asyncio
import gc

from libs.catalogue import load
from libs.runtime.broker import open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.database import connect
from libs.runtime.health import Health, serve_health
from libs.runtime.supervision import Lifecycle
from services.ledger.leader import Leader
from services.ledger.settings import LedgerSettings
from services.ledger.term import Installation


class WrongInstallation(Exception):
    """Settings and database do not fit each other, or the database was never migrated."""


async def serve(settings: LedgerSettings, lifecycle: Lifecycle) -> None:
    """Lead or stand by for every partition until stopped.

    Raises WrongInstallation when farebox.toml and the database do not fit each other.
    """
    configured = load(settings.config).ledger.partitions
    collect_rarely()
    installation = await read_installation(settings, configured)
    health = Health()
    async with open_broker(settings, "ledger", lifecycle, health) as broker:
        clock = SystemClock()
        leaders = [
            Leader(p, installation, settings, broker.connection, clock, lifecycle)
            for p in range(installation.partitions)
        ]
        for leader in leaders:
            health.add(f"partition {leader.partition}", leader.problem)
        async with serve_health(settings, health, lifecycle):
            leading = [
                lifecycle.spawn(leader.run(), f"partition-{leader.partition}") for leader in leaders
            ]
            await lifecycle.stopping.wait()
            await asyncio.gather(*leading, return_exceptions=True)


def collect_rarely() -> None:
    """Spare the writer full collections: its state is trees without cycles, and large.

    Measured: walking 200,000 open reservations every few seconds cost a third of the throughput
    and pauses of 200 ms. Young objects, where asyncio's cycles are, are still collected, though
    not so often that those of a batch in flight are gone through each time (3 %). What survived
    that is looked at again only after 100 million more.
    """
    gc.freeze()
    gc.set_threshold(200_000, 500, 1_000)


async def read_installation(settings: LedgerSettings, configured: int) -> Installation:
    connection = await connect(settings)
    try:
        if await connection.fetchval("show fsync") != "on":
            raise WrongInstallation(
                "PostgreSQL runs with fsync off: acknowledged money could be lost"
            )
        row = await connection.fetchrow("select partitions, incarnation from ledger.installation")
    finally:
        await connection.close()
    if row is None:
        raise WrongInstallation("ledger.installation is empty: run `farebox migrate` first")
    if row["partitions"] != configured:
        raise WrongInstallation(
            f"this installation has {row['partitions']} partitions, farebox.toml says "
            f"{configured}: the number is fixed when Farebox is installed; put the old one back"
        )
    unknown = sorted(p for p in settings.preferred if p >= configured)
    if unknown:
        raise WrongInstallation(
            f"FAREBOX_LEDGER_LEADS names partition {unknown[0]}; there are 0 to {configured - 1}"
        )
    return Installation(row["partitions"], row["incarnation"])
