"""A consumer of the real streams, with the real ledger behind it, that writes down what it applied."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from libs.runtime.ending import beside
from libs.runtime.gap import gap_reader, incarnation_reader
from libs.runtime.pull import Apply, LedgerPull
from tests.support.database import Database
from tests.support.nats import connected
from tests.support.services import ledger_client
from tests.support.waiting import until

SCHEMA = """
create schema if not exists followed;
create table followed.positions (partition smallint primary key, incarnation int, position bigint);
create table followed.effects (place bigserial, incarnation int, position bigint, command text);
grant usage on schema followed to farebox_recharge;
grant all on all tables in schema followed to farebox_recharge;
grant all on all sequences in schema followed to farebox_recharge;
"""
TYPES = ("AccountOpened", "CreditsGranted", "KeyIssued", "CreditsReserved", "CreditsCharged")


class Effect(NamedTuple):
    incarnation: int
    position: int
    command: str


class Effects:
    """What a consumer of partition 0 did, in a database that may be another than the ledger's."""

    def __init__(self, database: Database, *, restored: bool = False) -> None:
        self.database = database
        if not restored:
            database.sql(SCHEMA)

    async def rows(self, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database.dsn("recharge"))
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    async def all(self) -> list[Effect]:
        """In the order they were applied."""
        query = "select incarnation, position, command from followed.effects order by place"
        return [Effect(*row) for row in await self.rows(query)]

    async def place(self) -> tuple[int, int]:
        """The stored incarnation and position."""
        rows = await self.rows("select incarnation, position from followed.positions")
        return tuple(rows[0]) if rows else (1, 0)

    async def reach(self, incarnation: int, position: int) -> None:
        async def reached() -> bool:
            return await self.place() == (incarnation, position)

        await until(reached, patience_s=20)


async def write(connection: Any, body: dict[str, Any]) -> None:
    await connection.execute(
        "insert into followed.effects (incarnation, position, command) values ($1, $2, $3)",
        body["incarnation"],
        body["position"],
        body["command_id"],
    )


async def follow_everything(stack: Any) -> None:
    """Let the durable `recharge` of partition 0 deliver every type."""
    async with connected(stack, "provision") as nc:
        js = nc.jetstream()
        config = (await js.consumer_info("LEDGER_0", "recharge")).config
        await js.add_consumer("LEDGER_0", config.evolve(filter_subject=None, filter_subjects=None))


@asynccontextmanager
async def following(
    effects: Effects, ledger: Database, wrap: Callable[[Apply], Apply] = lambda apply: apply
) -> AsyncIterator[LedgerPull]:
    """One consumer process on the ledger's stream and queries; `wrap` goes around its effect."""

    async def connect() -> Any:
        return await asyncpg.connect(effects.database.dsn("recharge"))

    async with (
        connected(ledger.stack, "recharge") as nc,
        ledger_client(ledger, "recharge", "recharge") as client,
    ):
        pull = LedgerPull(
            nc,
            durable="recharge",
            partition=0,
            types=TYPES,
            schema="followed",
            connect=connect,
            apply=wrap(write),
            fetch_gap=gap_reader(client, 0),
            fetch_incarnations=incarnation_reader(client, 0),
        )
        async with beside(pull.run()):
            yield pull
