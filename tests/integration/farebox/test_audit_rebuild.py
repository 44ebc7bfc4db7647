"""A projection is made anew from the log while events arrive and questions are asked."""

import asyncio
import json
import os
import sys
from functools import partial
from unittest.mock import ANY

import orjson
import pytest

from libs.events import subjects
from libs.events.ids import new_id
from services.ledger import reader
from services.ledger.follower import LOCK_SPACE
from services.ledger.projections.projector import NAMES
from services.ledger.rebuild import empty, standing
from services.ledger.settings import ReaderSettings
from services.ledger.verify import verify
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.log_builder import LogBuilder, account_in
from tests.support.nats import connected
from tests.support.projecting import connection_of, project
from tests.support.services import running
from tests.support.settings import settings_for
from tests.support.stories import live
from tests.support.waiting import eventually
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("AUD-2")

SNAPSHOT = "select to_jsonb(t)::text as row from ledger.{} t where partition = 1 order by row"


@pytest.fixture(scope="module")
async def story(database, streams):
    builder = live(LogBuilder(partition=1), seed=11, steps=400)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    await project(database, 1)
    return builder


@pytest.fixture
async def role(database, story):
    async with connection_of(database, "reader") as connection:
        yield connection


async def rows(connection, name):
    return [row["row"] for row in await connection.fetch(SNAPSHOT.format(name))]


async def rebuilt(database, name, *words, role="reader"):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FAREBOX_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farebox.main", "audit", "rebuild", name, *words),
        env=clean | {"FAREBOX_DATABASE_URL": database.dsn(role)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


def settings(database, folder, **given):
    return settings_for(
        ReaderSettings, "reader", database, process_name="reader", data_dir=folder, **given
    )


@pytest.mark.parametrize("name", NAMES)
async def test_a_running_reader_makes_it_anew_as_it_was(database, role, tmp_path, name):
    before = await rows(role, name)
    assert before
    async with running(reader.serve, settings(database, tmp_path, batch=50)):
        if name != "entries":
            await empty(role, name)
            await eventually(lambda: done(role, name))
            assert await rows(role, name) == before
            return
        status, out, error = await rebuilt(database, name)
        assert status == 0, error
        assert f"{name} has been made anew from" in out
        assert await rows(role, name) == before
        _, out, _ = await rebuilt(database, name, "--json")
        assert json.loads(out) == {"projection": name, "waited": True, "events": ANY}


async def test_it_is_made_anew_while_the_writer_writes(database, role, tmp_path):
    """Emptied again and again in the middle of what the reader does; in the end all is right."""
    bench = await open_bench(database.dsn("ledger"))
    account, key = account_in(0), new_id("key")
    await bench.run(open_account(account), issue_key(account, key, bench.at))
    await bench.run(grant(account, 100_000))
    async with running(reader.serve, settings(database, tmp_path, batch=3, poll_s=0.01)):
        for number in range(24):
            res, deadline = new_id("req"), bench.at.replace(year=2999)
            await bench.run(reserve(account, key, 900, deadline, res=res))
            if number % 4 == 1:
                await empty(role, NAMES[number // 4 % len(NAMES)])
            await bench.run(settle(account, res, 350))
        await bench.close()

        async def caught_up():
            return all([await done(role, name) for name in NAMES])

        await eventually(caught_up, patience_s=20)
    async with connection_of(database, "auditor") as auditor:
        report = await verify(auditor, lambda _line: None)
    assert report.differences == []
    assert {report.projected[name] for name in NAMES} == {report.events}


async def done(connection, name):
    found = await standing(connection, name)
    return found.seen == found.events


async def test_an_answer_says_how_far_it_is_meanwhile(database, stack, role, story, tmp_path):
    name, held = next(iter(story.stories)), next(iter(story.holds))
    owner = story.holds[held]["account_id"]
    async with (
        connection_of(database, "reader") as other,
        connected(stack, "gateway") as gateway,
    ):

        async def ask(query, **fields):
            raw = orjson.dumps(fields)
            message = await gateway.request(subjects.query(1, query), raw, timeout=5)
            return orjson.loads(message.data)

        # Another reader leads the partition and is slow.
        await other.execute("select pg_advisory_lock($1, 1)", LOCK_SPACE)
        for projection in ("entries", "requests"):
            await empty(role, projection)
        async with running(reader.serve, settings(database, tmp_path, read_your_writes_s=0.05)):
            seen = await ask("entries", account_id=name)
            assert (seen["data"]["entries"], seen["as_of_position"]) == ([], 0)
            assert seen["position"] == story.position
            receipt = await ask("request", account_id=owner, res=held)
            assert receipt["code"] == "unavailable"
            assert (await ask("balance", account_id=name))["ok"]
            await other.execute("select pg_advisory_unlock_all()")
            for projection in ("entries", "requests"):
                await eventually(partial(done, role, projection))
            whole = await ask("entries", account_id=name)
            assert whole["as_of_position"] == story.position
            assert whole["data"]["entries"]
            assert (await ask("request", account_id=owner, res=held))["ok"]
            missing = await ask("request", account_id=owner, res=new_id("req"))
            assert missing["code"] == "unknown_request"


async def test_an_audit_keeps_it_from_being_emptied(database, role):
    """A truncated table is empty for older snapshots too: the audit would miss every row."""
    async with connection_of(database, "auditor") as auditor, auditor.transaction():
        await auditor.execute("lock table ledger.entries in access share mode")
        before = await standing(role, "entries")
        status, _, error = await rebuilt(database, "entries", "--no-wait")
        assert status == 2
        assert "ledger.entries is being read by farebox_auditor (pid " in error
        assert await standing(role, "entries") == before


@pytest.mark.parametrize(
    ("name", "role", "said"),
    [
        ("accounts", "reader", "'accounts' is none of requests, entries"),
        ("entries", "auditor", "permission denied"),
    ],
)
async def test_what_cannot_be_made_anew_ends_with_status_2(database, story, name, role, said):
    status, out, error = await rebuilt(database, name, role=role)
    assert (status, said in error, out) == (2, True, ""), error
    assert "Traceback" not in error
