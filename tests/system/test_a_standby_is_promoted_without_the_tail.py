"""Postgres fails over to a standby that is not waited for: what it had not received is lost.

The stream has it still, so the ledger says that it is behind and publishes nothing; an operator
accepts the loss, and everything goes on.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.postgres import Postgres
from deploy.local.stack import DATABASE, LocalStack
from farebox.migrate import migrate
from libs.runtime.streams import provision
from tests.support.consuming import Effects, follow_everything, following
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant
from tests.support.ledger_at import LedgerAt, customer, stream_is_the_log
from tests.support.nats import connected
from tests.support.standby_server import allow_replication, has_caught_up, make_standby, promote
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.requirement("OPS-2")


class Elsewhere(LocalStack):
    """The same installation, with another server in the place of its Postgres."""

    def now_at(self, postgres: Postgres) -> None:
        self.postgres = postgres


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Elsewhere]:
    """A stack of this test alone, since it kills the server."""
    stack = Elsewhere(tmp_path / "stack", postgres_settings={"shared_buffers": "64MB"})
    primary = stack.postgres
    with stack:
        with ThreadPoolExecutor(1) as pool:  # alembic runs an event loop of its own
            pool.submit(migrate, stack.dsn("owner"), PARTITIONS).result()
        yield stack
        primary.stop()


@pytest.fixture
def standby(own: Elsewhere, tmp_path: Path) -> Iterator[Postgres]:
    allow_replication(own.postgres)
    password = own.secrets["FAREBOX_POSTGRES_PASSWORD"]
    made = make_standby(own.postgres, tmp_path / "standby", password)
    yield made
    made.stop()


async def test_async_standby_promotion_lost_tail(own, standby, tmp_path):
    primary, database = own.postgres, Database(own, DATABASE)
    at = LedgerAt(database, tmp_path)
    effects = Effects(database)
    async with connected(own, "provision") as nc:
        await provision(nc, PARTITIONS)
        await follow_everything(own)
        async with at.running() as admin, following(effects, database):
            account = await customer(admin, grants=3)
            replicated = len(await at.log())
            await effects.reach(1, replicated)
            wait_until(lambda: has_caught_up(primary, standby))
            standby.stop()  # the network to it fails; nobody waits for it
            lost = [grant(account, 100) for _ in range(4)]
            acknowledged = [await admin.send(each, give_up_s=10) for each in lost]
            assert {reply.reply for reply in acknowledged} == {"Granted"}
            await effects.reach(1, replicated + 4)
            primary.kill()
        standby.start()
        promote(standby)
        own.now_at(standby)

        promoted = LedgerAt(database, tmp_path, "ledger-2")
        async with promoted.running(ready=False) as admin:
            await promoted.says("stream_ahead")
            assert len(await promoted.log()) == replicated, "acknowledged, and gone"
            rebuild = ("admin", "stream", "rebuild", "0", "--keep", str(tmp_path))
            done = await asyncio.to_thread(promoted.farebox, *rebuild)
            assert done.returncode == 0, done.stderr
            kept = (tmp_path / "stream-0-before-incarnation-2.jsonl").read_text()
            assert all(each.caller_id in kept for each in lost), "it is known what was lost"
            await promoted.becomes_ready()
            # Whoever repeats a lost command with its id has it decided anew, once.
            again = [await admin.send(each, give_up_s=10) for each in lost]
            assert [reply.reply for reply in again] == ["Granted"] * 4
            assert again[-1].data["available"] == "403"
            async with following(effects, database) as pull:
                await effects.reach(2, replicated + 5)
                assert pull.problem() is None
            await until(lambda: stream_is_the_log(promoted, nc.jetstream()))
        await promoted.assert_books_are_right()
    commands = [effect.command for effect in await effects.all()]
    assert len(commands) == len(set(commands)) == replicated + 4, "each is applied once"
