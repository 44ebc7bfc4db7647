"""The log goes on from one range of the table into the next, which is there before it is needed."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.events.ids import new_id
from services.ledger import writer
from services.ledger.schema import INSERT_ONLY, PARTITION_SIZE
from services.ledger.writer import NotLeading
from tests.support.database import Database
from tests.support.deciding import grant, open_account
from tests.support.log_builder import LogBuilder
from tests.support.log_rows import INSERT_EVENT
from tests.support.writing import Bench, open_bench

pytestmark = pytest.mark.requirement("AUD-1")

BOUNDARY = 2 * PARTITION_SIZE
RANGE = f"events_{BOUNDARY}"


@pytest.fixture
async def superuser(stack: Any, template: str) -> AsyncIterator[Any]:
    """A database whose ranges end at the boundary, as migrations make it, and a superuser in it."""
    database = Database(stack, "ranges")
    stack.create_database(database.name, template=template)
    connection = await asyncpg.connect(database.dsn("postgres"))
    yield database, connection
    await connection.close()
    stack.drop_database(database.name)


async def bench_at(database: Database, connection: Any, position: int) -> Bench:
    """A writer whose log ends at a position: everything before it was, as it were, long ago."""
    log = LogBuilder(position=position - 1)
    log.account()
    await connection.execute(INSERT_EVENT, *log.rows[0])
    return await open_bench(database.dsn("ledger"))


async def ranges(connection: Any) -> set[str]:
    rows = await connection.fetch(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'ledger.events'::regclass"
    )
    return {row["relname"] for row in rows}


async def held(connection: Any, table: str) -> list[int]:
    query = f"select position from ledger.{table} where position >= $1 order by position"  # noqa: S608
    return [row["position"] for row in await connection.fetch(query, BOUNDARY - 100)]


async def test_a_range_is_made_ahead_and_crossed_within_a_batch(superuser, monkeypatch):
    database, connection = superuser
    monkeypatch.setattr(writer, "ROOM_AHEAD", 40)
    bench = await bench_at(database, connection, BOUNDARY - 53)
    account = new_id("acct")
    assert RANGE not in await ranges(connection), "the range after the next is nobody's need yet"
    replies = await bench.run(open_account(account))
    while bench.writer.position < BOUNDARY + 10:
        if bench.writer.position > BOUNDARY - 20:
            assert RANGE in await ranges(connection), "made while there was room for 20 more"
        replies += await bench.run(*(grant(account, 1) for _ in range(7)))
    assert {reply["reply"] for reply in replies} == {"Opened", "Granted"}
    end = bench.writer.position
    assert [reply["position"] for reply in replies] == list(range(BOUNDARY - 52, end + 1))
    first, then = await held(connection, f"events_{PARTITION_SIZE}"), await held(connection, RANGE)
    assert first == list(range(BOUNDARY - 53, BOUNDARY))
    assert then == list(range(BOUNDARY, end + 1))
    firsts = {reply["position"] for reply in replies[1::7]}
    assert BOUNDARY not in firsts, "it was crossed inside a batch"
    await bench.close()


async def test_a_range_made_later_has_the_options_of_the_log(superuser):
    database, connection = superuser
    bench = await bench_at(database, connection, BOUNDARY - 10)
    assert RANGE in await ranges(connection)
    options = await connection.fetch(
        "select relname, reloptions from pg_class where relname = any($1)",
        list(await ranges(connection)),
    )
    expected = {f"{name}={value}" for name, value in INSERT_ONLY.items()}
    assert len(options) >= 3
    assert all(set(row["reloptions"]) == expected for row in options)
    await bench.close()


async def test_a_missing_range_refuses_nothing_for_good_and_loses_nothing(superuser):
    """Somebody dropped it: the ledger says busy and ends; the next leader makes it and goes on."""
    database, connection = superuser
    bench = await bench_at(database, connection, BOUNDARY - 3)
    account = new_id("acct")
    await bench.run(open_account(account))
    await connection.execute(f"drop table ledger.{RANGE}")
    commands = [grant(account, 1) for _ in range(4)]
    with pytest.raises(NotLeading, match="no partition of relation"):
        await bench.run(*commands)
    assert {reply["reply"] for reply in bench.replies.values()} == {"Busy"}
    assert await connection.fetchval("select max(position) from ledger.events") == BOUNDARY - 2
    await bench.close()
    again = await open_bench(database.dsn("ledger"))
    replies = await again.run(*commands)
    assert [reply["position"] for reply in replies] == [BOUNDARY - 1 + n for n in range(4)]
    await again.close()


async def test_ranges_that_cannot_be_made_are_an_alert_long_before_they_are_needed(
    superuser, monkeypatch
):
    database, connection = superuser
    monkeypatch.setattr(writer, "ROOM_AHEAD", 40)
    monkeypatch.setattr(writer, "ROOM_RETRY", 3)
    making = "execute on function ledger.make_event_partitions(bigint)"
    bench = await bench_at(database, connection, BOUNDARY - 53)
    account, failed = new_id("acct"), writer.room_failures.value
    await connection.execute(f"revoke {making} from farebox_ledger")
    replies = await bench.run(open_account(account))
    while bench.writer.position < BOUNDARY - 22:
        replies += await bench.run(grant(account, 1))
    assert {reply["reply"] for reply in replies} == {"Opened", "Granted"}, "each answered once"
    assert RANGE not in await ranges(connection)
    assert writer.room_failures.value > failed + 1, "it is tried again and again"
    await connection.execute(f"grant {making} to farebox_ledger")
    await bench.run(*(grant(account, 1) for _ in range(5)))
    assert RANGE in await ranges(connection)
    await bench.close()
