"""docs/operating/backup.md, done: a dump of the database is all that a new installation needs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import binaries
from deploy.local.stack import DATABASE, LocalStack
from libs.runtime.streams import provision
from tests.support.consuming import Effects, follow_everything, following
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant
from tests.support.ledger_at import LedgerAt, customer, stream_is_the_log
from tests.support.nats import connected
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("OPS-2", "AUD-2")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LocalStack]:
    """Another machine: servers that have nothing yet but Farebox's roles and an empty database."""
    with LocalStack(tmp_path / "fresh", postgres_settings={"shared_buffers": "64MB"}) as stack:
        yield stack


def postgres_tool(name: str, *words: str) -> None:
    done = subprocess.run([binaries() / name, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_dump_restored_beside_an_empty_stream_comes_up_whole(
    database, streams, fresh, tmp_path
):
    old, effects = LedgerAt(database, tmp_path), Effects(database)
    await follow_everything(streams)
    async with old.running() as admin, following(effects, database):
        account = await customer(admin, grants=5)
        repeated = grant(account, 100)
        first_reply = await admin.send(repeated, give_up_s=10)
        await effects.reach(1, 7)
        # As an operator does, while everything runs.
        dump = str(tmp_path / "farebox.dump")
        postgres_tool("pg_dump", "-Fc", "-f", dump, "-d", database.dsn("postgres"))
    log = await old.log()

    beside = Database(fresh, f"{DATABASE}_restored")
    fresh.create_database(beside.name)
    postgres_tool("pg_restore", "--exit-on-error", "-d", beside.dsn("postgres"), dump)
    proven = LedgerAt(beside, tmp_path, "ledger-2").farebox("audit", "verify")
    assert proven.returncode == 0, proven.stdout + proven.stderr
    fresh.postgres.sql(f"drop database {DATABASE} with (force)")
    fresh.postgres.sql(f"alter database {beside.name} rename to {DATABASE}")

    restored = Database(fresh, DATABASE)
    new = LedgerAt(restored, tmp_path, "ledger-2")
    async with connected(fresh, "provision") as nc:
        await provision(nc, PARTITIONS)
        await follow_everything(fresh)
        async with new.running() as admin:
            await until(lambda: stream_is_the_log(new, nc.jetstream()))
            assert await new.log() == log
            assert await admin.send(repeated, give_up_s=10) == first_reply
            lines = await admin.query("entries", {"account_id": account}, account_id=account)
            assert [line["amount"] for line in lines["data"]["entries"]] == ["1"] * 5 + ["100"]
            after = await admin.send(grant(account, 1), give_up_s=10)
            assert (after.reply, after.position) == ("Granted", len(log) + 1)
            moved = Effects(restored, restored=True)
            async with following(moved, restored) as pull:
                await moved.reach(1, len(log) + 1)
                assert pull.problem() is None
            assert [e.position for e in await moved.all()] == list(range(1, len(log) + 2))
        done = new.farebox("audit", "verify")
        assert done.returncode == 0, done.stdout + done.stderr
