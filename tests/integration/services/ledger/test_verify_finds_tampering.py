"""verify names the row, the column and both values of whatever is not what the log says."""

import orjson
import pytest

from libs.events.chain import body_hash
from libs.events.codec import canonical
from services.ledger.checks.reading import NotInstalledError
from services.ledger.checks.report import LISTED
from services.ledger.verify import verify
from tests.support.database import Database
from tests.support.log_builder import LogBuilder, account_in
from tests.support.projecting import connection_of, project
from tests.support.stories import live

pytestmark = [pytest.mark.requirement("AUD-1"), pytest.mark.requirement("AUD-6")]


@pytest.fixture(scope="module")
async def story(database):
    """Partition 0 with a little of everything, partition 1 with a long random life."""
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 10_000)
    builder.settle(builder.reserve(name, key, 4000), 1500)
    builder.revoke(builder.key(name))
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    builder.reserve(name, key, 700, fee=fee)
    builder.release(builder.reserve(name, key, 1, fee=fee))
    builder.name, builder.key_id = name, key
    other = live(LogBuilder(partition=1), seed=1, steps=300)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        await other.write(ledger)
    await project(database, 0)
    await project(database, 1)
    return builder


@pytest.fixture
async def copy(database, story):
    """A superuser's connection whose transaction is never committed: the ledger to tamper with."""
    async with connection_of(database, "postgres") as superuser:
        transaction = superuser.transaction(isolation="repeatable_read")
        await transaction.start()
        yield superuser
        await transaction.rollback()


async def verified(copy):
    await copy.execute("set local role farebox_auditor")
    report = await verify(copy, lambda _line: None)
    await copy.execute("reset role")
    return report


async def tamper(copy, statement, *arguments):
    """Change what nobody may change: the superuser, with the triggers switched off."""
    await copy.execute("set local session_replication_role = replica")
    status = await copy.execute(statement, *arguments)
    assert int(status.split()[-1]) > 0, "the test changed nothing"


async def found(copy):
    report = await verified(copy)
    assert not report.ok
    return [(d.table, d.row, d.column, d.stored, d.computed) for d in report.differences]


async def body_at(copy, position):
    return await copy.fetchval(
        "select body from ledger.events where partition = 0 and position = $1", position
    )


async def test_an_untouched_ledger_verifies_for_the_auditor(database, story):
    async with connection_of(database, "auditor") as auditor:
        report = await verify(auditor, lambda _line: None)
    assert report.differences == []
    assert report.ok
    assert report.events > 200
    assert report.accounts == 4
    assert all(sum(lines.values()) == 0 for lines in report.books.values())


async def test_one_changed_byte_is_named(copy):
    before = await body_at(copy, 3)
    after = before.replace(b'"10000"', b'"90000"', 1)
    assert after != before
    await tamper(
        copy, "update ledger.events set body = $1 where partition = 0 and position = 3", after
    )
    differences = await found(copy)
    expected = ("ledger.events", "0:3", "hash", body_hash(before).hex(), body_hash(after).hex())
    assert expected in differences


async def test_a_body_changed_with_its_hash_breaks_the_next_link(copy):
    before = await body_at(copy, 4)
    body = orjson.loads(before)
    body["data"]["surface"] = "another"
    after = canonical(body)
    await tamper(
        copy,
        "update ledger.events set body = $1, hash = $2 where partition = 0 and position = 4",
        after,
        body_hash(after),
    )
    expected = (
        "ledger.events",
        "0:5",
        "body.prev",
        body_hash(before).hex(),
        body_hash(after).hex(),
    )
    assert expected in await found(copy)


async def test_the_last_body_changed_with_its_hash_contradicts_the_accounts_head(copy, story):
    position = story.position
    before = await body_at(copy, position)
    body = orjson.loads(before)
    body["data"]["surface"] = "another"
    after = canonical(body)
    await tamper(
        copy,
        "update ledger.events set body = $1, hash = $2 where partition = 0 and position = $3",
        after,
        body_hash(after),
        position,
    )
    row = ("ledger.accounts", story.name, "head", body_hash(before).hex(), body_hash(after).hex())
    assert row in await found(copy)


@pytest.mark.parametrize(
    ("column", "value", "stored", "computed"),
    [
        ("version", "77", 77, 4),
        ("type", "1", 1, 10),
        ("hash", "'\\x00'", "00", None),
    ],
)
async def test_a_changed_column_of_an_event_is_named(copy, column, value, stored, computed):
    await tamper(
        copy, f"update ledger.events set {column} = {value} where partition = 0 and position = 4"
    )
    rows = [d for d in await found(copy) if d[:3] == ("ledger.events", "0:4", column)]
    assert rows[0][3] == stored
    if computed is not None:
        assert rows[0][4] == computed


async def test_an_event_moved_to_another_account_is_named(copy, story):
    other = account_in(0)
    await tamper(
        copy,
        "update ledger.events set account_id = $1 where partition = 0 and position = 4",
        other[5:],
    )
    row = next(d for d in await found(copy) if d[2] == "account_id")
    assert row[:2] == ("ledger.events", "0:4")
    assert (row[3].replace("-", ""), row[4].replace("-", "")) == (other[5:], story.name[5:])


async def test_a_removed_event_leaves_a_named_gap(copy):
    await tamper(copy, "delete from ledger.events where partition = 0 and position = 4")
    differences = await found(copy)
    assert ("ledger.events", "0:4", "position", "next is 5", 4) in differences


async def test_a_removed_last_event_contradicts_the_accounts_position(copy, story):
    last = story.position
    await tamper(copy, "delete from ledger.events where partition = 0 and position = $1", last)
    row = ("ledger.accounts", story.name, "position", last, last - 1)
    assert row in await found(copy)


async def test_bytes_that_are_no_event_are_named_and_do_not_end_the_check(copy, story):
    await tamper(
        copy, "update ledger.events set body = 'no json' where partition = 0 and position = 4"
    )
    await tamper(
        copy, "update ledger.accounts set plan = 'other' where account_id = $1", story.name[5:]
    )
    differences = await found(copy)
    assert any(d[:3] == ("ledger.events", "0:4", "body") for d in differences)
    assert ("ledger.accounts", story.name, "plan", "other", "payg") in differences


@pytest.mark.parametrize(
    ("column", "value", "stored", "computed"),
    [
        ("available", "available + 1", 7801, 7800),
        ("reserved", "reserved + 1", 701, 700),
        ("version", "version + 1", 11, 10),
        ("position", "position + 1", 11, 10),
        ("plan", "'other'", "other", "payg"),
        ("unit", "'EUR'", "EUR", "USD"),
        ("status", "'frozen'", "frozen", "open"),
        ("next_expiry", "'2027-01-01Z'", "2027-01-01T00:00:00.000000Z", None),
    ],
)
async def test_a_changed_column_of_an_account_is_named(
    copy, story, column, value, stored, computed
):
    account = story.name
    await tamper(
        copy, f"update ledger.accounts set {column} = {value} where account_id = $1", account[5:]
    )
    assert ("ledger.accounts", account, column, stored, computed) in await found(copy)


async def test_credits_put_into_an_accounts_grants_are_named(copy, story):
    query = "select state from ledger.accounts where account_id = $1"
    state = orjson.loads(await copy.fetchval(query, story.name[5:]))
    state["grants"][0][1] += 5
    await tamper(
        copy,
        "update ledger.accounts set state = $1 where account_id = $2",
        orjson.dumps(state),
        story.name[5:],
    )
    row = next(d for d in await found(copy) if d[2] == "state.grants 1")
    assert row[:2] == ("ledger.accounts", story.name)
    assert "7805" in row[3]
    assert "7800" in row[4]


@pytest.mark.parametrize("table", ["accounts", "reservations", "api_keys", "entries", "requests"])
async def test_a_removed_row_is_named(copy, story, table):
    await tamper(copy, f"delete from ledger.{table} where account_id = $1", story.name[5:])
    rows = [d for d in await found(copy) if d[0] == f"ledger.{table}"]
    assert rows
    stored, computed = rows[0][3:]
    assert stored is None
    assert rows[0][1] in computed or computed in rows[0][1]


async def test_an_invented_account_is_named(copy):
    other = account_in(0)
    await tamper(
        copy,
        "insert into ledger.accounts select $1, partition, unit, plan, status, 5, 0, version,"
        " position, head, armed, next_expiry, state from ledger.accounts limit 1",
        other[5:],
    )
    assert ("ledger.accounts", other, "account_id", other, None) in await found(copy)


@pytest.mark.parametrize(
    ("column", "value", "stored", "computed"),
    [("amount", "701", 701, 700), ("position", "2", 2, 8)],
)
async def test_a_changed_column_of_a_reservation_is_named(
    copy, story, column, value, stored, computed
):
    res = next(iter(story.holds))
    await tamper(
        copy,
        f"update ledger.reservations set {column} = {value} where reservation_id = $1",
        res[4:],
    )
    assert ("ledger.reservations", res, column, stored, computed) in await found(copy)


async def test_a_revoked_key_made_active_is_named(copy, story):
    await tamper(copy, "update ledger.api_keys set status = 'active' where status = 'revoked'")
    revoked = next(key for key, data in story.keys.items() if data.get("revoked"))
    assert ("ledger.api_keys", revoked, "status", "active", "revoked") in await found(copy)


async def test_a_changed_line_of_the_statement_is_named(copy, story):
    res = next(iter(story.holds))
    await tamper(
        copy, "update ledger.entries set amount = amount + 1 where res = $1 and line = 0", res[4:]
    )
    differences = await found(copy)
    assert ("ledger.entries", f"{story.name}:8:0", "amount", -699, -700) in differences
    assert ("ledger.entries", story.name, "sum of amount", 7801, 7800) in differences


async def test_a_changed_receipt_is_named(copy, story):
    await tamper(copy, "update ledger.requests set charge = 1 where charge = 1500")
    rows = [d for d in await found(copy) if d[0] == "ledger.requests"]
    assert len(rows) == 1
    assert rows[0][2:] == ("charge", 1, 1500)


async def test_a_projection_that_runs_ahead_of_the_log_is_named(copy, story):
    await tamper(
        copy,
        "update ledger.projection_positions set position = 99"
        " where projection = 'entries' and partition = 0",
    )
    row = ("ledger.projection_positions", "entries 0", "position", 99, f"≤ {story.position}")
    assert row in await found(copy)


async def test_a_projection_that_is_late_is_compared_as_far_as_it_is(copy, story):
    builder = LogBuilder(partition=2)
    builder.grant(builder.account(), 5)
    await builder.write(copy)
    report = await verified(copy)
    assert report.differences == []
    assert report.projected["entries"] < report.events


async def test_rows_of_a_partition_that_does_not_exist_are_named(copy):
    await tamper(copy, "update ledger.api_keys set partition = 7")
    differences = await found(copy)
    assert ("ledger.api_keys", "partition 7", "partition", 7, "0 to 2") in differences


async def test_all_differences_are_counted_and_some_are_kept(copy):
    await tamper(copy, "update ledger.events set hash = '\\x00'")
    report = await verified(copy)
    assert report.difference_count >= report.events
    assert len(report.differences) <= LISTED


async def test_a_database_without_a_ledger_is_refused(stack):
    stack.create_database("empty_for_verify")
    try:
        async with connection_of(Database(stack, "empty_for_verify"), "auditor") as auditor:
            with pytest.raises(NotInstalledError):
                await verify(auditor, lambda _line: None)
    finally:
        stack.drop_database("empty_for_verify")


async def test_a_command_that_was_forgotten_is_named(copy, story):
    """Forgetting a command lets its repeat be carried out a second time."""
    res = next(iter(story.holds))
    await tamper(copy, "delete from ledger.commands where caller_id = $1", res[4:])
    differences = await found(copy)
    assert ("ledger.commands", f"{story.name} {res}", "position", None, 8) in differences


async def test_a_command_moved_to_another_event_is_named(copy, story):
    res = next(iter(story.holds))
    await tamper(copy, "update ledger.commands set position = 2 where caller_id = $1", res[4:])
    differences = await found(copy)
    assert ("ledger.commands", f"{story.name} {res}", "position", "2 to 2", 8) in differences


async def test_an_invented_command_is_noticed(copy, story):
    await tamper(
        copy,
        "insert into ledger.commands select $1, kind, account_id, position, event_count, fingerprint"
        " from ledger.commands limit 1",
        "0" * 32,
    )
    row = next(d for d in await found(copy) if d[0] == "ledger.commands")
    assert row[1:3] == ("all rows", "sum of event_count")
    assert row[3] == row[4] + 1


@pytest.mark.requirement("PRC-3")
@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("update ledger.fee_entries set minor = 2 where position = 8", ("0:8", "minor", 2, 1)),
        ("update ledger.fee_entries set minor = 1 where position = 10", ("0:10", "minor", 1, -1)),
        ("delete from ledger.fee_entries where position = 8", ("0:8", "position", None, 8)),
        (
            "update ledger.fee_entries set position = 7 where position = 8",
            ("0:7", "position", 7, None),
        ),
        (
            "update ledger.fee_entries set position = 99 where position = 8",
            ("0:99", "position", 99, "≤ 10"),
        ),
    ],
)
async def test_a_false_fee_is_named(copy, statement, row):
    await tamper(copy, statement)
    assert ("ledger.fee_entries", *row) in await found(copy)
