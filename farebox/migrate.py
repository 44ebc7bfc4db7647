"""The database of an installation: every service's tables, and the number that can never change."""

import asyncio
from importlib.util import find_spec

import asyncpg

from libs.runtime.migrate import upgrade

PACKAGES = ("services.ledger", "services.payments", "services.recharge")


class PartitionsFixedError(Exception):
    """The database was installed with another number of partitions than farebox.toml names.

    Accounts are found by their hash modulo that number, so it stays for good: put the installed
    number back into farebox.toml, or start a new installation.
    """

    def __init__(self, installed: int, configured: int) -> None:
        super().__init__(
            f"[ledger] partitions = {configured}, but this database was installed with "
            f"{installed}: the number is fixed at installation"
        )
        self.installed = installed
        self.configured = configured


def migrate(dsn: str, partitions: int) -> None:
    """Bring all tables up to date as role farebox_owner; write down the partitions at first.

    Blocks, and needs a thread without a running event loop. Raises PartitionsFixedError.
    """
    for package in PACKAGES:
        if find_spec(f"{package}.migrations") is not None:
            upgrade(dsn, package)
    asyncio.run(_install(dsn, partitions))


async def _install(dsn: str, partitions: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "insert into ledger.installation (partitions) values ($1) on conflict do nothing",
            partitions,
        )
        installed = await connection.fetchval("select partitions from ledger.installation")
    finally:
        await connection.close()
    if installed != partitions:
        raise PartitionsFixedError(installed, partitions)
