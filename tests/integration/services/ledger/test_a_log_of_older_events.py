"""A log that holds three generations of events is one log: everything reads it as the newest."""

import orjson
import pytest

from libs.events.events import TYPE_CODES
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes, new_id
from services.ledger.follower import Row, decode
from services.ledger.history import Wanted, events, standing
from services.ledger.invariants import check
from services.ledger.replay_tables import NAMES, replay
from services.ledger.verify import verify
from tests.support.deciding import expire, refund, reserve, settle
from tests.support.log_builder import START, LogBuilder
from tests.support.older_forms import changed_events, middle, oldest
from tests.support.projecting import connection_of, project
from tests.support.stories import live
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("AUD-2")

FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
LOG = "select position, type, body from ledger.events where partition = $1 order by position"


@pytest.fixture(scope="module", autouse=True)
def changed():
    with changed_events():
        yield


@pytest.fixture(scope="module")
async def story(database):
    """What two older programs left: holds settled, expired and open, and random lives."""
    builder = LogBuilder(form=oldest)
    builder.name = name = builder.account()
    builder.key_id = key = builder.key(name)
    paid = {"currency": "USD", "minor": 1000}
    builder.grant(name, 6000, paid=paid)
    builder.settled, builder.lost, builder.open = (new_id("req") for _ in range(3))
    builder.reserve(name, key, 1000, res=builder.settled, fee=FEE)
    builder.settle(builder.settled, 700)
    builder.form = middle
    builder.reserve(name, key, 800, res=builder.lost)
    builder.reserve(name, key, 900, res=builder.open)
    builder.form = dict
    builder.grant(name, 4000)
    lives = LogBuilder(partition=1, form=oldest)
    live(lives, seed=3, steps=30)
    lives.form = middle
    live(lives, seed=4, steps=30)
    lives.form = dict
    live(lives, seed=5, steps=30)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        await lives.write(ledger)
    return builder


async def told(database, story):
    """The writer of today, asked about what older programs wrote: its replies by what was asked."""
    first = reserve(story.name, story.key_id, 1000, START, res=story.settled, fee=FEE)
    async with connection_of(database, "postgres") as superuser:
        caller = caller_bytes(story.settled).hex()
        kinds = await superuser.fetch("select * from ledger.commands where caller_id = $1", caller)
        assert len(kinds) == 2, "Reserve and Settle"
        query = "update ledger.commands set fingerprint = $1 where caller_id = $2 and position = 4"
        await superuser.execute(query, fingerprint(first), caller)
    bench = await open_bench(database.dsn("ledger"))
    bench.clock.advance(300)
    asked = {
        "repeat": first,
        "expire": expire(story.name, story.lost),
        "settle": settle(story.name, story.open, 350),
        "refund": refund(story.name, story.settled, 700, whole=True),
    }
    try:
        replies = dict(zip(asked, await bench.run(*asked.values()), strict=True))
        replies["late"], *_ = await bench.run(settle(story.name, story.lost, 300))
        await bench.run(reserve(story.name, story.key_id, 50, bench.at))
    finally:
        await bench.close()
    return replies


async def test_the_writer_goes_on_from_what_older_programs_wrote(database, story):
    replies = await told(database, story)
    assert {name: answer["reply"] for name, answer in replies.items()} == {
        "repeat": "Reserved", "expire": "Released", "settle": "Settled", "refund": "Refunded",
        "late": "Settled",
    }  # fmt: skip
    assert replies["repeat"]["position"] == 4
    assert replies["repeat"]["data"]["amount"] == "1000"
    assert replies["late"]["data"]["flags"] == ["late"]
    async with connection_of(database, "auditor") as auditor:
        log = [orjson.loads(row["body"]) for row in await auditor.fetch(LOG, 0)]
        versions = {(b["type"], b["type_version"]) for b in log}
        assert versions >= {
            ("CreditsGranted", 1), ("CreditsGranted", 2),
            ("CreditsReserved", 1), ("CreditsReserved", 2), ("CreditsReserved", 3),
        }  # fmt: skip
        refunded = next(b for b in log if b["type"] == "CreditsRefunded")
        assert refunded["data"]["fee_reversed"] == FEE, "the fee came from the oldest form"


async def test_projections_replay_and_verification_read_every_form(database, story):
    await project(database, 0)
    await project(database, 1)
    async with connection_of(database, "auditor") as auditor:
        report = await verify(auditor, lambda _line: None)
        assert report.differences == []
        replayed = await replay(auditor, NAMES, lambda _line: None)
        assert replayed.differences == []
        assert replayed.projected == report.projected
        fee = "select fee->>'schedule' from ledger.requests where reservation_id = $1"
        assert await auditor.fetchval(fee, story.settled[4:]) is None, "given back"
        lines = "select count(*) from ledger.entries where type = 'top_up' and grant_no is not null"
        assert await auditor.fetchval(lines) > 0
        for row in await auditor.fetch(LOG, 1):
            assert decode(Row(*row), strictly=True) == decode(Row(*row))


async def test_balances_at_every_position_are_what_the_events_said(database, story):
    async with connection_of(database, "auditor") as auditor:
        for row in await auditor.fetch(LOG, 1):
            body = orjson.loads(row["body"])
            if "available" in body["data"]:
                found = await standing(auditor, body["account_id"], row["position"])
                assert found.differences == []
                assert str(found.account.available) == body["data"]["available"]


async def test_the_log_is_hashed_and_given_out_as_it_was_stored(database, story):
    async with connection_of(database, "auditor") as auditor:
        for partition in (0, 1):
            stored = [row["body"] for row in await auditor.fetch(LOG, partition)]
            wanted = Wanted(partition=partition)
            given = [e.body async for run in events(auditor, wanted) for e in run]
            assert given == stored
            assert check(orjson.loads(body) for body in stored) == []
            kinds = [TYPE_CODES["CreditsReserved"]]
            only = Wanted(partition=partition, types=kinds)
            reserved = [orjson.loads(e.body) async for run in events(auditor, only) for e in run]
            assert {body["type_version"] for body in reserved} == {1, 2, 3}


async def test_a_version_that_this_program_does_not_know_is_named_by_the_audit(database, story):
    newer = "replace(convert_from(body, 'UTF8'), '\"type_version\":2', '\"type_version\":9')"
    change = f"update ledger.events set body = convert_to({newer}, 'UTF8')"
    async with connection_of(database, "postgres") as superuser:
        transaction = superuser.transaction(isolation="repeatable_read")
        await transaction.start()
        await superuser.execute("set local session_replication_role = replica")
        done = await superuser.execute(f"{change} where partition = 0 and position = 8")
        assert done == "UPDATE 1"
        report = await verify(superuser, lambda _line: None, projections=False)
        bodies = [d for d in report.differences if d.column == "body"]
        assert "CreditsGranted of version 9" in bodies[0].stored
        await transaction.rollback()
