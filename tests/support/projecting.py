"""The projections brought up to date without NATS, as role farebox_reader."""

from contextlib import asynccontextmanager

import asyncpg

from services.ledger.follower import Row, decode
from services.ledger.projections.projector import SQL, Projector


async def project(database, partition: int = 0, batch: int = 500) -> Projector:
    """Follow the log of a partition to its end."""
    connection = await asyncpg.connect(
        database.dsn("reader"), server_settings={"search_path": "ledger"}
    )
    try:
        projector = Projector(connection, partition)
        await projector.begin()
        while rows := await connection.fetch(
            SQL["events_after"], partition, projector.position, batch
        ):
            events = [decode(Row(*row)) for row in rows]
            await projector.apply([e for e in events if e], rows[-1]["position"])
        return projector
    finally:
        await connection.close()


@asynccontextmanager
async def connection_of(database, role: str, **settings: str):
    connection = await asyncpg.connect(database.dsn(role), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()
