"""services/recharge/schema.py is the one definition, and attempts are a record."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from libs.events.ids import new_id
from libs.runtime.database import sqlalchemy_url
from libs.runtime.migrate import check
from services.recharge.schema import SCHEMA, metadata

CONSTRAINTS = """
select r.conrelid::regclass::text, r.conname, pg_get_constraintdef(r.oid)
from pg_constraint r join pg_class c on c.oid = r.conrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname <> 'alembic_version' order by 1, 2
"""
INDEXES = """
select c.relname, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = t.relnamespace
where n.nspname = $1 and t.relname <> 'alembic_version' order by 1
"""


async def described(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, SCHEMA)]
    finally:
        await connection.close()


async def test_alembic_finds_nothing_to_add_to_a_database_migrated_from_empty(database):
    await asyncio.to_thread(check, database.dsn("owner"), "services.recharge")


async def test_tables_made_of_the_schema_alone_are_the_migrated_ones(database, stack):
    stack.create_database("recharge_from_schema")
    engine = create_async_engine(
        sqlalchemy_url(stack.dsn("owner", database="recharge_from_schema"))
    )
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"create schema {SCHEMA}")
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    try:
        for query in (CONSTRAINTS, INDEXES):
            migrated = await described(database.dsn("owner"), query)
            made = await described(stack.dsn("owner", database="recharge_from_schema"), query)
            assert migrated == made
            assert migrated
    finally:
        stack.drop_database("recharge_from_schema")


@pytest.mark.requirement("RCH-2")
@pytest.mark.parametrize(
    "statement",
    [
        "update recharge.attempts set credits = 1",
        "update recharge.attempts set price = 1",
        "update recharge.attempts set account_id = 'acct_x'",
        "delete from recharge.attempts",
        "truncate recharge.attempts",
        "create table recharge.other (n int)",
        "select * from ledger.accounts",
        "select * from payments.orders",
    ],
)
async def test_the_recharge_role_cannot_rewrite_what_was_asked(pool, statement):
    await pool.execute(
        "insert into recharge.attempts values"
        " ($1, 'acct_a', 5, 'USD', 5, '1-0-1', now(), 'refused', now())",
        new_id("rchg"),
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(statement)


@pytest.mark.parametrize("role", ["ledger", "reader", "payments"])
async def test_other_roles_see_nothing_of_recharge(database, role):
    connection = await asyncpg.connect(database.dsn(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from recharge.attempts")
    finally:
        await connection.close()
