"""Replay makes chosen tables anew beside the live ones and names every row that differs."""

import pytest

from services.ledger.checks.log import LogCheck
from services.ledger.checks.lots import check_grants
from services.ledger.checks.reading import Reading
from services.ledger.checks.report import Differences
from services.ledger.replay import Fold
from services.ledger.replay_tables import NAMES, replay
from tests.support.log_builder import LogBuilder
from tests.support.projecting import connection_of, project
from tests.support.stories import live

pytestmark = pytest.mark.requirement("AUD-2")

PROJECTED = {"entries", "requests", "grants", "usage_daily", "fees"}


@pytest.fixture(scope="module")
async def story(database):
    """Partition 0 with one account, partition 1 with a long random life."""
    builder = LogBuilder()
    name = builder.account()
    builder.name, key = name, builder.key(name)
    builder.grant(name, 10_000)
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    builder.settle(builder.reserve(name, key, 4000, fee=fee), 1500)
    builder.open = builder.reserve(name, key, 700)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        await live(LogBuilder(partition=1), seed=7, steps=300).write(ledger)
    await project(database, 0)
    await project(database, 1)
    return builder


@pytest.fixture
async def copy(database, story):
    """A superuser's connection whose transaction is never committed: the ledger to tamper with."""
    async with connection_of(database, "postgres") as superuser:
        transaction = superuser.transaction(isolation="repeatable_read")
        await transaction.start()
        await superuser.execute("set local session_replication_role = replica")
        yield superuser
        await transaction.rollback()


async def replayed(copy, *names):
    """As the auditor, and in the transaction that tampered: its temporary tables stay until then."""
    await copy.execute("set local role farebox_auditor")
    report = await replay(copy, names or NAMES, lambda _line: None)
    if PROJECTED & set(report.tables):
        made = ", ".join(f"pg_temp.{table}" for table in (*PROJECTED, "projection_positions"))
        await copy.execute(f"drop table {made}")
    await copy.execute("reset role; set local search_path = public")
    return report


def rows(report):
    return [(d.table, d.row, d.column, d.stored, d.computed) for d in report.differences]


async def test_an_untouched_ledger_is_what_its_log_says(database, story):
    told = []
    async with connection_of(database, "auditor") as auditor:
        report = await replay(auditor, NAMES, told.append)
    assert report.differences == []
    assert report.ok
    assert report.tables == list(NAMES)
    assert set(report.projected) == PROJECTED
    assert report.events == report.projected["entries"] > 150
    assert any("partition 0: 6 of 6 events, " in line for line in told), told
    assert all(line.endswith("a second") for line in told)


async def test_nothing_is_left_behind(database, story):
    async with connection_of(database, "auditor") as auditor:
        for _ in range(2):
            assert (await replay(auditor, NAMES, lambda _line: None)).ok
        left = "select count(*) from pg_class where relpersistence = 't'"
        assert await auditor.fetchval(left) == 0


TAMPERED = [
    ("entries", "update ledger.entries set amount = 9 where position = 4", "amount", 9, -4000),
    ("entries", "update ledger.entries set key_id = null where position = 6", "key_id", None, "*"),
    ("requests", "update ledger.requests set charge = 9 where charge = 1500", "charge", 9, 1500),
    ("requests", "update ledger.requests set state = 'open'", "state", "open", "settled"),
    ("grants", "update ledger.grants set payment = 'pi_9'", "payment", "pi_9", None),
    ("usage_daily", "update ledger.usage_daily set charged = 9", "charged", 9, 1500),
    ("fees", "update ledger.fees set total = 9", "total", 9, 1),
    ("accounts", "update ledger.accounts set plan = 'x'", "plan", "x", "payg"),
    ("api_keys", "update ledger.api_keys set prefix = 'x'", "prefix", "x", "fb_0_abcd"),
    ("reservations", "update ledger.reservations set amount = 701", "amount", 701, 700),
    ("fee_entries", "update ledger.fee_entries set minor = 2", "minor", 2, 1),
]


@pytest.mark.parametrize(("table", "change", "column", "stored", "computed"), TAMPERED)
async def test_a_tampered_row_is_named_with_both_values(
    copy, table, change, column, stored, computed
):
    only = f"{change} {'and' if ' where ' in change else 'where'} partition = 0"
    assert int((await copy.execute(only)).split()[-1]) > 0
    report = await replayed(copy, table)
    found, *sums = report.differences
    assert (found.table, found.column, found.stored) == (f"ledger.{table}", column, stored)
    assert computed in ("*", found.computed)
    assert all("sum of amount" in difference.column for difference in sums)


async def test_other_tables_are_not_looked_at(copy):
    await copy.execute("update ledger.entries set amount = amount + 1")
    assert (await replayed(copy, "requests", "accounts")).ok
    assert not (await replayed(copy, "entries")).ok


@pytest.mark.requirement("CRD-3")
async def test_parts_of_a_grant_are_compared_with_the_fold_too(copy):
    """A projector that were wrong would make the same wrong row again."""
    await copy.execute("set local role farebox_auditor")
    differences, fold = Differences(), Fold(lambda *_: None)
    await check_grants(copy, 1, fold, differences)
    assert differences.count == 0  # rows of nothing are told by others
    found = LogCheck(0, 3, differences)
    async for _ in Reading(copy, found, lambda _line: None).runs():
        pass
    await check_grants(copy, 0, found.fold, differences)
    assert differences.count == 0
    await copy.execute("reset role")
    await copy.execute("update ledger.grants set clawed = 5, available = 1 where partition = 0")
    await check_grants(copy, 0, found.fold, differences)
    assert {d.column: d.stored for d in differences.listed} == {"clawed": 5, "available": 1}


@pytest.mark.parametrize("table", ["entries", "requests", "grants"])
async def test_a_missing_row_and_an_invented_one_are_named(copy, story, table):
    await copy.execute(f"delete from ledger.{table} where partition = 0")
    first, *more = rows(await replayed(copy, table))
    assert first[3] is None
    assert first[4] is not None
    assert more or table == "grants"
    await copy.execute(f"update ledger.{table} set partition = 0")
    found = [row for row in rows(await replayed(copy, table)) if row[4] is None]
    assert found
    assert all(row[3] is not None for row in found)


async def test_a_damaged_log_is_reported_whatever_is_replayed(copy):
    change = "update ledger.events set body = 'x' where partition = 0 and position = 4"
    await copy.execute(change)
    report = await replayed(copy, "accounts")
    assert ("ledger.events", "0:4") in {(d.table, d.row) for d in report.differences}


@pytest.mark.parametrize(
    ("behind", "at"),
    [
        *(("entries", 0), ("entries", 4), ("requests", 0), ("requests", 5)),
        *(("grants", 2), ("usage_daily", 4), ("fees", 3)),
    ],
)
async def test_a_projection_that_is_being_made_anew_is_compared_as_far_as_it_is(copy, behind, at):
    """The other one stands further on, and takes columns from it."""
    column = {"requests": "opened_position", "usage_daily": "requests"}.get(behind, "position")
    some = at if column != "requests" else 0
    await copy.execute(f"delete from ledger.{behind} where partition = 0 and {column} > $1", some)
    if (behind, at) == ("requests", 5):  # at that position the settled request was closed already
        query = "select state from ledger.requests where partition = 0"
        assert await copy.fetchval(query) == "settled"
    move = "update ledger.projection_positions set position = $1 where projection = $2"
    await copy.execute(f"{move} and partition = 0", at, behind)
    report = await replayed(copy)
    assert report.differences == []
    assert report.projected[behind] == report.events - (6 - at)


async def test_a_projection_ahead_of_the_log_is_named(copy):
    move = "update ledger.projection_positions set position = 99 where projection = 'entries'"
    await copy.execute(f"{move} and partition = 0")
    expected = ("ledger.projection_positions", "entries 0", "position", 99, "≤ 6")
    assert expected in rows(await replayed(copy, "entries"))
