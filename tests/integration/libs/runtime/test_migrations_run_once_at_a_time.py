import asyncio
import itertools

import asyncpg
import pytest

from libs.runtime import migrate
from libs.runtime.migrate import upgrade_async

PACKAGE = "services.ledger"
_numbers = itertools.count(1)


@pytest.fixture
def empty(stack):
    name = f"migrate_{next(_numbers)}"
    stack.create_database(name)
    yield stack.dsn("owner", database=name)
    stack.drop_database(name)


async def tables(dsn):
    connection = await asyncpg.connect(dsn)
    try:
        return {
            row["name"]
            for row in await connection.fetch(
                "select schemaname || '.' || tablename as name from pg_tables"
                " where schemaname not in ('pg_catalog', 'information_schema')"
            )
        }
    finally:
        await connection.close()


async def test_an_empty_database_gets_its_tables_and_version_in_the_services_schema(empty):
    await upgrade_async(empty, PACKAGE)
    found = await tables(empty)
    assert {"ledger.events", "ledger.accounts", "ledger.alembic_version"} <= found
    assert {name.partition(".")[0] for name in found} == {"ledger"}


async def test_migrating_twice_changes_nothing(empty):
    await upgrade_async(empty, PACKAGE)
    before = await tables(empty)
    await upgrade_async(empty, PACKAGE)
    assert await tables(empty) == before


async def test_two_migrations_at_once_wait_for_each_other(empty):
    await asyncio.gather(*(upgrade_async(empty, PACKAGE) for _ in range(3)))
    assert "ledger.events" in await tables(empty)


async def test_a_second_migration_holds_off_while_the_lock_is_taken(empty):
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("select pg_advisory_lock($1)", migrate.LOCK)
        waiting = asyncio.create_task(upgrade_async(empty, PACKAGE))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        assert await tables(empty) == set()
        await connection.execute("select pg_advisory_unlock($1)", migrate.LOCK)
        await waiting
    finally:
        await connection.close()


async def test_schema_and_migrations_agree(empty):
    await upgrade_async(empty, PACKAGE)
    await asyncio.to_thread(migrate.check, empty, PACKAGE)


async def test_a_blocking_upgrade_works_in_a_thread(empty):
    await asyncio.to_thread(migrate.upgrade, empty, PACKAGE)
    assert "ledger.events" in await tables(empty)


async def test_a_package_without_migrations_is_an_error(empty):
    with pytest.raises(ModuleNotFoundError, match="libs.runtime has no migrations"):
        await upgrade_async(empty, "libs.runtime")
