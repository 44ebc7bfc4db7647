"""What each role may do to the ledger's tables, tried on a real server (AUD-1)."""

import uuid

import asyncpg
import pytest

from services.ledger.schema import PARTITION_SIZE, PROJECTIONS, metadata

pytestmark = pytest.mark.requirement("AUD-1")

RANGE = "ledger.events_0"
TABLES = sorted(table.name for table in metadata.sorted_tables)
ASYNC = {table.name for table in PROJECTIONS}
SERVICES = ("ledger", "reader", "auditor", "payments", "recharge")

DENIED = asyncpg.InsufficientPrivilegeError
REFUSED = asyncpg.RestrictViolationError

INSERT = """insert into ledger.events (partition, position, account_id, version, type, body, hash)
values ($1, $2, $3, 1, 1, '{}', '\\x00')"""


@pytest.fixture(scope="module")
async def connections(database):
    opened = {}
    for role in ("owner", "postgres", *SERVICES):
        opened[role] = await asyncpg.connect(database.dsn(role))
    await opened["ledger"].execute(INSERT, 0, 1, uuid.uuid4())
    yield opened
    for connection in opened.values():
        await connection.close()


@pytest.mark.parametrize("role", SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "update {} set version = 2",
        "delete from {}",
        "truncate {}",
        "alter table {} disable trigger all",
        "drop table {}",
    ],
)
@pytest.mark.parametrize("table", ["ledger.events", RANGE])
async def test_no_service_can_change_what_is_written(connections, role, statement, table):
    with pytest.raises(DENIED):
        await connections[role].execute(statement.format(table))


@pytest.mark.parametrize(
    "statement", ["update {} set version = 2", "delete from {}", "truncate {}"]
)
@pytest.mark.parametrize("table", ["ledger.events", RANGE])
@pytest.mark.parametrize("role", ["owner", "postgres"])
async def test_even_the_owner_is_refused_by_trigger(connections, role, statement, table):
    with pytest.raises(REFUSED, match="append-only"):
        await connections[role].execute(statement.format(table))


async def test_a_later_range_refuses_its_owner_too(connections):
    start = 2 * PARTITION_SIZE
    end = await connections["ledger"].fetchval("select ledger.make_event_partitions($1)", start)
    assert end == start + PARTITION_SIZE
    await connections["ledger"].execute(INSERT, 0, start, uuid.uuid4())
    for statement in (f"truncate ledger.events_{start}", f"delete from ledger.events_{start}"):
        with pytest.raises(REFUSED):
            await connections["owner"].execute(statement)


@pytest.mark.parametrize("role", ["reader", "auditor", "payments", "recharge"])
async def test_only_the_ledger_appends_and_makes_ranges(connections, role):
    with pytest.raises(DENIED):
        await connections[role].execute(INSERT, 0, 2, uuid.uuid4())
    with pytest.raises(DENIED):
        await connections[role].execute("select ledger.make_event_partitions(1)")


async def test_no_two_events_have_one_position(connections):
    with pytest.raises(asyncpg.UniqueViolationError):
        await connections["ledger"].execute(INSERT, 0, 1, uuid.uuid4())
    await connections["ledger"].execute(INSERT, 1, 1, uuid.uuid4())


async def test_a_position_without_a_range_is_refused_not_lost(connections):
    with pytest.raises(asyncpg.CheckViolationError):
        await connections["ledger"].execute(INSERT, 0, 100 * PARTITION_SIZE, uuid.uuid4())


async def test_one_call_makes_a_bounded_number_of_ranges(connections):
    """A stolen ledger password must not be able to fill the catalogue with tables."""
    before = await connections["ledger"].fetchval("select ledger.make_event_partitions(0)")
    after = await connections["ledger"].fetchval("select ledger.make_event_partitions($1)", 2**62)
    assert after == before + 16 * PARTITION_SIZE


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", SERVICES)
async def test_rights_are_exactly_these(connections, role, table):
    rights = {
        right
        for right in ("select", "insert", "update", "delete", "truncate", "references", "trigger")
        if await connections["owner"].fetchval(
            "select has_table_privilege($1, $2, $3)", f"farebox_{role}", f"ledger.{table}", right
        )
    }
    assert rights == EXPECTED[role](table)


def ledger_rights(table):
    if table in ASYNC:
        return set()
    return {"select"} | {
        "installation": set(),
        "events": {"insert"},
        "commands": {"insert"},
        "notes": {"insert"},
        "published": {"insert"},
        "catalogues": {"insert"},
        "fee_entries": {"insert"},
        "accounts": {"insert", "update"},
        "api_keys": {"insert", "update"},
        "reservations": {"insert", "update", "delete"},
        "granted": {"insert", "update"},
        "refunded": {"insert", "update"},
    }[table]


def reader_rights(table):
    return {"select"} | ({"insert", "update", "delete", "truncate"} if table in ASYNC else set())


EXPECTED = {
    "ledger": ledger_rights,
    "reader": reader_rights,
    "auditor": lambda _table: {"select"},
    "payments": lambda _table: set(),
    "recharge": lambda _table: set(),
}


async def test_the_auditor_can_fold_into_temporary_tables(connections):
    auditor = connections["auditor"]
    await auditor.execute("create temp table shadow (like ledger.entries including all)")
    assert await auditor.fetchval("select count(*) from shadow") == 0
    with pytest.raises(DENIED):
        await connections["ledger"].execute("create temp table shadow (n int)")


@pytest.mark.parametrize("role", SERVICES)
async def test_no_service_makes_tables_in_the_schema(connections, role):
    with pytest.raises(DENIED):
        await connections[role].execute("create table ledger.more (n int)")
