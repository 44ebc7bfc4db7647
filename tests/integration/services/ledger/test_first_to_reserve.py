"""One reservation that several ask for is opened for the first of them, whatever was forgotten."""

from datetime import timedelta
from hashlib import sha256

import pytest

from libs.events.commands import Command
from libs.events.ids import id_of, new_id, uuid8
from services.ledger.writer import DOUBTFUL
from tests.support.database import Database
from tests.support.deciding import grant, issue_key, open_account, release, reserve, settle
from tests.support.writing import Bench, open_bench

pytestmark = pytest.mark.requirement("RSV-3")


async def told(bench: Bench, *commands: Command) -> list[str]:
    return [reply["reply"] for reply in await bench.run(*commands)]


async def test_another_that_asks_for_the_same_reservation_is_told_so(database: Database):
    bench = await open_bench(database.dsn("ledger"))
    account, key = new_id("acct"), new_id("key")
    await bench.run(open_account(account), issue_key(account, key, bench.at), grant(account, 1000))
    res = id_of("req", uuid8(sha256(account.encode()).digest()))
    until = bench.at + timedelta(seconds=5)
    poor, mine, other = [
        reserve(account, key, amount, until, res=res, once=once * 32)
        for amount, once in ((2000, "a"), (600, "b"), (600, "c"))
    ]
    assert await told(bench, poor, mine, other, poor, mine) == [
        "Declined", "Reserved", "Conflict", "Conflict", "Reserved",
    ], "in one batch"  # fmt: skip
    assert await told(bench, other, mine) == ["Conflict", "Reserved"], "from memory"
    for _ in range(DOUBTFUL + 1):  # then nothing is looked up before it is appended
        await bench.run(reserve(account, key, 1, bench.at))
    bench.writer.working.commands.clear()
    assert await told(bench, other) == ["Conflict"], "forgotten, and found by the append"
    bench.clock.advance(10)
    late = reserve(account, key, 1, until)
    assert await told(bench, late, other, mine) == ["Declined", "Conflict", "Reserved"], "too late"
    await bench.run(settle(account, res, 100))
    await bench.close()
    again = await open_bench(database.dsn("ledger"))
    try:
        assert await told(again, poor, other, mine) == ["Conflict", "Conflict", "Reserved"]
        [undone] = await again.run(release(account, res))
        assert (undone["reply"], undone["data"]["code"]) == ("Conflict", "settled")
        held = "select available + reserved from ledger.accounts where account_id = $1"
        assert await again.connection.fetchval(held, account[5:]) == 1000 - 100
    finally:
        await again.close()
