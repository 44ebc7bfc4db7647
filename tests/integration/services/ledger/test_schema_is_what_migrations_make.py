"""services/ledger/schema.py is the one definition: the migrations make exactly that."""

import asyncio

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from libs.runtime.migrate import check
from services.ledger.schema import PARTITION_SIZE, SCHEMA, metadata

COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid), c.reloptions, pg_get_partkeydef(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where n.nspname = $1 and c.relkind in ('r', 'p') and c.relispartition = false
  and c.relname <> 'alembic_version' order by 1, 2
"""
CONSTRAINTS = """
select r.conrelid::regclass::text, r.conname, pg_get_constraintdef(r.oid)
from pg_constraint r join pg_class c on c.oid = r.conrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relispartition = false and c.relname <> 'alembic_version' order by 1, 2
"""
INDEXES = """
select c.relname, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and t.relispartition = false and t.relname <> 'alembic_version' order by 1
"""


def sqlalchemy_url(dsn):
    return dsn.replace("postgresql://", "postgresql+asyncpg://")


async def described(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, SCHEMA)]
    finally:
        await connection.close()


async def test_alembic_finds_nothing_to_add_to_a_database_migrated_from_empty(database):
    await asyncio.to_thread(check, database.dsn("owner"), "services.ledger")


async def test_tables_made_of_the_schema_alone_are_the_migrated_ones(database, stack):
    """Stricter than alembic: checks, index expressions, storage options, the partition key."""
    stack.create_database("from_schema")
    engine = create_async_engine(sqlalchemy_url(stack.dsn("owner", database="from_schema")))
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"create schema {SCHEMA}")
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    try:
        for query in (COLUMNS, CONSTRAINTS, INDEXES):
            migrated = await described(database.dsn("owner"), query)
            made = await described(stack.dsn("owner", database="from_schema"), query)
            assert migrated == made
            assert migrated
    finally:
        stack.drop_database("from_schema")


async def test_the_partition_function_uses_the_range_of_the_schema(database):
    connection = await asyncpg.connect(database.dsn("ledger"))
    try:
        end = await connection.fetchval("select ledger.make_event_partitions($1)", PARTITION_SIZE)
    finally:
        await connection.close()
    assert end == 2 * PARTITION_SIZE
