"""A stream, a database, and processes that follow the one into the other."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg

from libs.events import subjects
from libs.events.codec import canonical
from libs.events.ids import new_id
from libs.runtime.atomic_publish import publish_atomic
from libs.runtime.ending import beside
from libs.runtime.positions import Incarnation
from libs.runtime.pull import Apply, LedgerPull
from tests.support import waiting
from tests.support.nats_server import NatsServer

ACCOUNT = new_id("acct")

SCHEMA = """
create schema pulled;
create table pulled.positions (partition smallint primary key, incarnation int, position bigint);
create table pulled.effects (place bigserial, position bigint, process text);
grant usage on schema pulled to farebox_recharge;
grant all on all tables in schema pulled to farebox_recharge;
grant all on all sequences in schema pulled to farebox_recharge;
"""


def event(position: int, type_name: str = "Thing", **fields: Any) -> bytes:
    """An event of a type that no program knows, in the form of the log."""
    return canonical(
        {
            "type": type_name,
            "type_version": 1,
            "incarnation": 1,
            "partition": 0,
            "position": position,
            "account_id": ACCOUNT,
            "version": position,
            "occurred_at": "2026-11-20T12:00:00.000000Z",
            "command_id": "c",
            "correlation_id": "c",
            "causation": None,
            "traceparent": None,
            "prev": "0" * 64,
            "data": {},
        }
        | fields
    )


class Following:
    """One partition's stream, one table of effects and any number of processes between them."""

    def __init__(self, server: NatsServer, dsn: str) -> None:
        self.server = server
        self.dsn = dsn
        self.gap: list[tuple[int, int]] = []
        self.incarnations: list[Incarnation] = []

    async def publish(self, *bodies: bytes) -> int:
        async with self.server.client("ledger") as nc:
            expected = (await nc.jetstream().stream_info("LEDGER_0")).state.last_seq
            messages = [(subjects.event(0, "Thing"), body) for body in bodies]
            return await publish_atomic(nc, messages, expected)

    async def sql(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def effects(self) -> list[int]:
        return [
            row["position"]
            for row in await self.sql("select position from pulled.effects order by place")
        ]

    async def stored(self) -> int:
        rows = await self.sql("select position from pulled.positions")
        return rows[0]["position"] if rows else 0

    async def reach(self, position: int) -> None:
        async def reached() -> bool:
            return await self.stored() >= position

        await waiting.eventually(reached, patience_s=15, what=f"position {position} stored")

    async def fetch_gap(self, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        self.gap.append((first, last))
        return [(n, event(n)) for n in range(first, min(last, first + 2) + 1)]

    async def fetch_incarnations(self) -> Sequence[Incarnation]:
        return self.incarnations

    @contextlib.asynccontextmanager
    async def follower(
        self,
        name: str = "one",
        apply: Callable[[Apply], Apply] | None = None,
        fetch_gap: Any = None,
        types: Sequence[str] = ("Thing",),
    ) -> AsyncIterator[LedgerPull]:
        """One process; `apply` wraps its effect, which writes the position into a table."""

        async def write(connection: Any, body: dict[str, Any]) -> None:
            await connection.execute(
                "insert into pulled.effects (position, process) values ($1, $2)",
                body["position"],
                name,
            )

        async def connect() -> Any:
            return await asyncpg.connect(self.dsn, server_settings={"application_name": name})

        async with self.server.client(
            "recharge", max_reconnect_attempts=-1, reconnect_time_wait=0.1
        ) as nc:
            made = LedgerPull(
                nc,
                durable="recharge",
                partition=0,
                types=types,
                schema="pulled",
                connect=connect,
                apply=apply(write) if apply else write,
                fetch_gap=fetch_gap or self.fetch_gap,
                fetch_incarnations=self.fetch_incarnations,
            )
            async with beside(made.run()) as task:
                yield made
            assert task.cancelled(), "nothing but a cancel ends it"
