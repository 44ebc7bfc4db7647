import asyncpg
import pytest

ROLES = ("ledger", "reader", "auditor", "payments", "recharge")
REWRITES = {
    "update": "update ledger.events set body = '\\x00'",
    "delete": "delete from ledger.events",
    "truncate": "truncate ledger.events",
    "drop": "drop table ledger.events",
    "disable the triggers": "alter table ledger.events disable trigger all",
}


@pytest.mark.requirement("AUD-1")
@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("role", ROLES)
async def test_no_service_role_can_rewrite_events(database, role, rewrite):
    await is_refused(database, role, REWRITES[rewrite])


@pytest.mark.requirement("AUD-1")
@pytest.mark.parametrize("role", ROLES)
async def test_no_service_role_can_rewrite_a_partition_behind_the_table(database, role):
    partitions = database.sql(
        "select inhrelid::regclass from pg_inherits where inhparent = 'ledger.events'::regclass"
    ).splitlines()
    assert len(partitions) >= 2
    for partition in partitions:
        for statement in (f"delete from {partition}", f"truncate {partition}"):
            await is_refused(database, role, statement)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "ledger"])
async def test_only_the_ledger_role_appends_events(database, role):
    await is_refused(database, role, "insert into ledger.events default values")


@pytest.mark.parametrize("role", ROLES)
async def test_a_service_role_makes_no_tables(database, role):
    await is_refused(database, role, "create table public.mine (n int)")
    await is_refused(database, role, "create schema mine")


@pytest.mark.parametrize("role", ROLES)
async def test_a_service_role_enters_no_other_database(database, role):
    for name in ("postgres", "template1"):
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match="permission denied for database"
        ):
            await asyncpg.connect(database.stack.dsn(role, database=name))


async def test_only_the_auditor_may_make_temporary_tables(database):
    for role in ROLES:
        if role == "auditor":
            await run(database, role, "create temporary table shadow (n int)")
        else:
            await is_refused(database, role, "create temporary table shadow (n int)")


async def is_refused(database, role, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(database, role, statement)


async def run(database, role, statement):
    connection = await asyncpg.connect(database.dsn(role))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
