"""services/payments/schema.py is the one definition, and rights follow from need."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from libs.runtime.database import sqlalchemy_url
from libs.runtime.migrate import check
from services.payments.schema import SCHEMA, metadata

CONSTRAINTS = """
select r.conrelid::regclass::text, r.conname, pg_get_constraintdef(r.oid)
from pg_constraint r join pg_class c on c.oid = r.conrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname <> 'alembic_version' order by 1, 2
"""
INDEXES = """
select c.relname, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and t.relname <> 'alembic_version' order by 1
"""


async def described(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, SCHEMA)]
    finally:
        await connection.close()


async def test_alembic_finds_nothing_to_add(database):
    await asyncio.to_thread(check, database.dsn("owner"), "services.payments")


async def test_checks_keys_and_indexes_are_those_of_the_schema(database, stack):
    stack.create_database("payments_schema")
    engine = create_async_engine(sqlalchemy_url(stack.dsn("owner", database="payments_schema")))
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"create schema {SCHEMA}")
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    try:
        for query in (CONSTRAINTS, INDEXES):
            migrated = await described(database.dsn("owner"), query)
            assert migrated == await described(
                stack.dsn("owner", database="payments_schema"), query
            )
            assert migrated
    finally:
        stack.drop_database("payments_schema")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from payments.inbox",
        "truncate payments.orders",
        "drop table payments.orders",
        "create table payments.mine (a int)",
        "select * from ledger.accounts",
        "select * from payments.alembic_version",
    ],
)
async def test_the_service_may_not(database, statement):
    connection = await asyncpg.connect(database.dsn("payments"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["ledger", "reader", "recharge"])
async def test_other_services_see_nothing_of_it(database, role):
    connection = await asyncpg.connect(database.dsn(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from payments.orders")
    finally:
        await connection.close()


@pytest.mark.requirement("PAY-3")
async def test_there_is_no_column_for_card_data(database):
    connection = await asyncpg.connect(database.dsn("owner"))
    rows = await connection.fetch(
        "select column_name from information_schema.columns where table_schema = 'payments'"
    )
    await connection.close()
    names = {row["column_name"] for row in rows}
    assert {"customer", "payment_method"} <= names
    for word in ("card", "last4", "brand", "exp", "number", "cvc", "iban"):
        assert not [name for name in names if word in name.split("_")]
