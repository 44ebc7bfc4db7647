"""A leader whose session was ended says and writes nothing more, whatever it has in memory."""

import asyncio

import asyncpg
import pytest

from libs.events.ids import new_id
from services.ledger.expiry import Expiry
from services.ledger.settings import LedgerSettings
from services.ledger.writer import NotLeading
from tests.support.deciding import grant, issue_key, open_account, reserve
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("OPS-2", "RSV-3")

ENDED = (NotLeading, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@pytest.fixture
async def zombie(database):
    bench = await open_bench(database.dsn("ledger"))
    bench.account, bench.key = new_id("acct"), new_id("key")
    await bench.run(
        open_account(bench.account),
        issue_key(bench.account, bench.key, bench.at),
        grant(bench.account, 1000),
    )
    bench.held = reserve(bench.account, bench.key, 100, bench.at)
    [bench.told] = await bench.run(bench.held)
    yield bench
    await bench.close()


def end_session(database, bench):
    pid = bench.connection.get_server_pid()
    database.sql(f"select pg_terminate_backend({pid}, 5000)")


async def events(database):
    return int(database.sql("select count(*) from ledger.events"))


async def test_a_repeat_that_it_remembers_is_not_answered(zombie, database):
    """No look-up is needed for it: only the proof that the session lives stands before it."""
    assert await zombie.run(zombie.held) == [zombie.told]
    end_session(database, zombie)
    with pytest.raises(ENDED):
        await zombie.run(zombie.held)
    assert zombie.replies == {}


async def test_its_expiry_closes_nothing(zombie, database):
    expiry = Expiry(zombie.writer, zombie.writer.queue, LedgerSettings(takeover_quiet_s=0))
    for _ in range(13):
        zombie.clock.advance(10)
        expiry.tick()
    assert not zombie.writer.queue.empty
    before = await events(database)
    end_session(database, zombie)
    drained = asyncio.Event()
    drained.set()
    with pytest.raises(ENDED):
        await zombie.writer.run(drained)
    assert await events(database) == before
    assert zombie.published[-1].type == "CreditsReserved"
