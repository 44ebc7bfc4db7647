"""Alembic's entry: runs the migrations of payments on one connection, as role farebox_owner.

The caller hands over a synchronous connection in `attributes["connection"]`, or a
`sqlalchemy.url` for asyncpg.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.payments.migrations.filters import include_name
from services.payments.schema import SCHEMA, metadata


def migrate(connection: Connection) -> None:
    connection.execute(text(f"create schema if not exists {SCHEMA}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=include_name,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_by_url(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(migrate_by_url(context.config.get_main_option("sqlalchemy.url") or ""))
