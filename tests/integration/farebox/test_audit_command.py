"""`farebox audit` as an operator runs it: status 0, 1 or 2, and what it says."""

import json

import pytest

from libs.events.chain import body_hash
from tests.support.audit_command import audit as run
from tests.support.log_builder import LogBuilder, account_in
from tests.support.projecting import connection_of, project


@pytest.fixture(scope="module")
async def story(database):
    builder = LogBuilder()
    builder.name = builder.account()
    key = builder.key(builder.name)
    builder.grant(builder.name, 10_000_000_000)
    builder.res = builder.reserve(builder.name, key, 4_000_000_000)
    builder.settle(builder.res, 1_500_000_000)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    await project(database)
    return builder


def audit(database, *words, url=None):
    return run(*words, url=url or (database.dsn("auditor") if database is not None else None))


def tamper(database, statement):
    database.sql(f"set session_replication_role = replica; {statement}")


@pytest.mark.requirement("AUD-6")
async def test_a_sound_ledger_ends_with_status_0(database, story):
    done = audit(database, "verify")
    assert done.returncode == 0, done.stderr
    assert "5 events checked" in done.stdout
    assert "issued:purchase" in done.stdout
    assert "everything is what the log says" in done.stdout
    told = json.loads(audit(database, "verify", "--json").stdout)
    assert (told["ok"], told["events"], told["difference_count"]) == (True, 5, 0)
    assert set(told["invariants"].values()) == {0}
    assert "projections_equal_replay" in told["invariants"]
    assert told["books"]["USD"]["consumed"] == "1500000000"
    assert sum(int(amount) for amount in told["books"]["USD"].values()) == 0


@pytest.mark.requirement("AUD-1")
async def test_one_changed_byte_ends_with_status_1_and_names_row_column_and_both_values(
    database, story
):
    query = "select body from ledger.events where partition = 0 and position = 3"
    async with connection_of(database, "auditor") as auditor:
        before = await auditor.fetchval(query)
    after = before.replace(b"10000000000", b"90000000000", 1)
    change = "update ledger.events set body = '\\x{}' where partition = 0 and position = 3"
    tamper(database, change.format(after.hex()))
    try:
        done = audit(database, "verify")
        assert done.returncode == 1
        line = next(text for text in done.stdout.splitlines() if " hash:" in text)
        assert "ledger.events 0:3 hash" in line
        assert body_hash(before).hex() in line
        assert body_hash(after).hex() in line
        told = json.loads(audit(database, "verify", "--json", "--no-projections").stdout)
        assert not told["ok"]
        assert told["differences"][0]["row"] == "0:3"
        assert told["invariants"]["log_intact"] == 1
        assert "projections_equal_replay" not in told["invariants"], "it was not checked"
    finally:
        tamper(database, change.format(before.hex()))


@pytest.mark.requirement("AUD-3")
async def test_a_statement_adds_up(database, story):
    done = audit(database, "statement", story.name)
    assert done.returncode == 0, done.stderr
    assert "sum of lines 8.50 = available 8.50" in done.stdout
    charge = next(line for line in done.stdout.splitlines() if " charge " in line)
    assert "-1.50" in charge
    assert story.res in charge
    told = json.loads(audit(database, "statement", story.name, "--json").stdout)
    assert [(line["type"], line["amount"]) for line in told["entries"]] == [
        ("top_up", "10.00"), ("reservation", "-4.00"), ("release", "4.00"), ("charge", "-1.50"),
    ]  # fmt: skip
    assert (told["adds_up"], told["projection_is_behind"]) == (True, False)


async def test_a_statement_that_does_not_add_up_ends_with_status_1(database, story):
    tamper(database, "update ledger.entries set amount = amount + 1 where line = 1")
    try:
        done = audit(database, "statement", story.name)
    finally:
        tamper(database, "update ledger.entries set amount = amount - 1 where line = 1")
    assert done.returncode == 1
    assert "≠" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statement", "acct_1"], "is not an account"),
        (["statement", account_in(0)], "unknown_account"),
    ],
)
async def test_what_cannot_be_audited_ends_with_status_2(database, story, words, said):
    done = audit(database, *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


async def test_without_a_database_it_says_so(database, story, tmp_path):
    nowhere = "postgresql://farebox_auditor:x@127.0.0.1:1/farebox"
    done = audit(database, "verify", url=nowhere)
    assert (done.returncode, "cannot connect" in done.stderr) == (2, True), done.stderr
    done = audit(None, "verify", "--data", str(tmp_path))
    assert (done.returncode, "no installation runs" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


async def test_it_finds_the_database_of_a_data_folder(stack, story):
    """The folder of `farebox up`: its own database was never migrated, and that is found out."""
    done = audit(None, "verify", "--data", str(stack.folder))
    assert (done.returncode, "ledger" in done.stderr) == (2, True), done.stderr
