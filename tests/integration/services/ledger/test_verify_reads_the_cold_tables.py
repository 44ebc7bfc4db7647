"""What nobody reads for months is verified too: what grants were, claims, refunds, dues.

Each test damages rows of its own accounts only, and looks at the differences of those.
"""

import pytest

from libs.events.ids import new_id
from services.ledger.verify import verify
from tests.support.deciding import (
    clawback,
    grant,
    issue_key,
    open_account,
    refund,
    reserve,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("AUD-6")


@pytest.fixture
async def account(database):
    """Half of a payment of 1000 clawed back: 300 were spent (100 refunded), 700 are held."""
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    bench = await open_bench(database.dsn("ledger"))
    account, key, res = account_in(0), new_id("key"), new_id("req")
    await bench.run(
        open_account(account),
        issue_key(account, key, bench.at),
        grant(account, 1000, source="purchase", payment="pi_1"),
        reserve(account, key, 300, bench.at, res=res),
        settle(account, res, 300),
        reserve(account, key, 700, bench.at),
        refund(account, res, 100),
        clawback(account, "pi_1", 1, 2, "dispute:dp_1"),
    )
    await bench.close()
    await project(database)
    return account, res


async def found(database, account, res):
    async with connection_of(database, "auditor") as auditor:
        report = await verify(auditor, lambda _line: None)
    return {
        (difference.table.removeprefix("ledger."), difference.column)
        for difference in report.differences
        if account in difference.row or res in difference.row
    }


async def tamper(database, statement, account):
    async with connection_of(database, "owner") as owner:
        assert await owner.execute(f"{statement} where account_id = $1", account[5:]) != "UPDATE 0"


async def test_rows_that_are_as_the_log_says_are_no_difference(database, account):
    assert await found(database, *account) == set()


@pytest.mark.parametrize(
    ("table", "change", "columns"),
    [
        ("granted", "clawed = clawed + 1", {"clawed"}),
        ("granted", "shortfall = 1", {"shortfall"}),
        ("granted", "causes = '{}'", {"causes"}),
        ("granted", "payment = 'pi_2', priority = 3", {"payment", "priority"}),
        ("refunded", "amount = amount - 1, margin = 1, count = 2", {"amount", "margin", "count"}),
        ("requests", "refunded = charge + 1", {"refunded"}),
        (
            "accounts",
            """state = convert_to(replace(convert_from(state, 'UTF8'), '{"1":[400', '{"1":[40'),
              'UTF8')""",
            {"state.dues"},
        ),
    ],
)
async def test_a_changed_cold_row_is_found(database, account, table, change, columns):
    await tamper(database, f"update ledger.{table} set {change}", account[0])
    assert {(table, column) for column in columns} <= await found(database, *account)


@pytest.mark.parametrize(("table", "column"), [("granted", "grant_no"), ("refunded", "amount")])
async def test_a_lost_cold_row_is_found(database, account, table, column):
    await tamper(database, f"delete from ledger.{table}", account[0])
    assert await found(database, *account) == {(table, column)}


@pytest.mark.parametrize(
    ("table", "change"),
    [("granted", "grant_no = 7"), ("refunded", "partition = 2")],
)
async def test_a_row_of_nothing_is_found(database, account, table, change):
    await tamper(database, f"update ledger.{table} set {change}", account[0])
    assert table in {name for name, _ in await found(database, *account)}
