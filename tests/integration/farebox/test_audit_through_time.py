"""`farebox audit replay`, `balance` and `events` as an operator runs them."""

import json
import os
import subprocess
import sys

import orjson
import pytest

from libs.events.times import to_text
from tests.support.audit_command import audit as run
from tests.support.log_builder import LogBuilder, account_in
from tests.support.projecting import connection_of, project
from tests.support.stories import live

pytestmark = pytest.mark.requirement("AUD-2")


@pytest.fixture(scope="module")
async def story(database):
    builder = LogBuilder()
    builder.name = builder.account()
    key = builder.key(builder.name)
    builder.grant(builder.name, 10_000_000_000)
    builder.res = builder.reserve(builder.name, key, 4_000_000_000)
    builder.before_settling = to_text(builder.at)
    builder.settle(builder.res, 1_500_000_000)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        await live(LogBuilder(partition=1), seed=5, steps=600).write(ledger)
    await project(database)
    return builder


def command(*words):
    return [sys.executable, "-m", "farebox.main", "audit", *words]


def environment(database):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FAREBOX_")}
    return clean | {"FAREBOX_DATABASE_URL": database.dsn("auditor")}


def audit(database, *words):
    return run(*words, url=database.dsn("auditor"))


async def test_replay_tells_progress_and_ends_with_status_0(database, story):
    done = audit(database, "replay")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every row is what the log says" in done.stdout
    assert "entries: compared at 5 of" in done.stdout
    assert "partition 0: 5 of 5 events, " in done.stderr
    told = json.loads(audit(database, "replay", "entries", "requests", "--json").stdout)
    assert (told["ok"], told["tables"]) == (True, ["entries", "requests"])


async def test_replay_of_a_tampered_receipt_ends_with_status_1(database, story):
    change = "set session_replication_role = replica; update ledger.requests set charge = {}"
    database.sql(change.format("charge + 1"))
    try:
        done = audit(database, "replay", "requests")
        assert done.returncode == 1
        named = f"DIFFERENT  ledger.requests {story.res} charge: stored 1500000001, computed 1500"
        assert named in done.stdout
        assert json.loads(audit(database, "replay", "--json").stdout)["difference_count"] == 1
        assert audit(database, "replay", "entries").returncode == 0
    finally:
        database.sql(change.format("charge - 1"))


async def test_balance_at_a_position_at_a_time_and_now(database, story):
    def told(*at):
        done = audit(database, "balance", story.name, *at, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found["available"], found["reserved"], found["total"], found["as_of_position"]

    assert told("--at", "1") == ("0.00", "0.00", "0.00", 1)
    assert told("--at", "3") == ("10.00", "0.00", "10.00", 3)
    assert told("--at", story.before_settling) == ("6.00", "4.00", "10.00", 4)
    assert told("--at", story.before_settling.replace("Z", "+00:00")) == told("--at", "4")
    assert told() == ("8.50", "0.00", "8.50", 5)
    text = audit(database, "balance", story.name, "--at", "4").stdout
    assert story.res in text
    assert "position 4 of 5" in text
    grants = json.loads(audit(database, "balance", story.name, "--json").stdout)["grants"]
    assert [(g["granted"], g["available"], g["charged"]) for g in grants] == [
        ("10.00", "8.50", "1.50")
    ]


async def test_events_are_the_stored_bytes(database, story):
    async with connection_of(database, "auditor") as auditor:
        query = "select body from ledger.events where partition = 0 order by position"
        stored = [row["body"].decode() for row in await auditor.fetch(query)]
    done = audit(database, "events", "--partition", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == stored
    some = audit(
        database, "events", "--account", story.name, "--type", "CreditsReserved",
        "--type", "CreditsCharged", "--from", "2", "--until", story.before_settling,
    )  # fmt: skip
    assert [orjson.loads(line)["type"] for line in some.stdout.splitlines()] == ["CreditsReserved"]
    assert len(audit(database, "events", "--limit", "7").stdout.splitlines()) == 7
    part = ("events", "--partition", "0")
    by_position = audit(database, *part, "--from", "2", "--until", "4").stdout.splitlines()
    assert by_position == stored[1:4]
    times = [orjson.loads(body)["occurred_at"] for body in stored]
    by_time = audit(database, *part, "--from", times[1], "--until", times[3]).stdout.splitlines()
    assert by_time == stored[1:4]


def test_events_may_be_read_as_far_as_one_likes(database, story):
    with subprocess.Popen(
        command("events"),
        env=environment(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert orjson.loads(process.stdout.readline())["type"] == "AccountOpened"
        process.stdout.close()
        said = process.stderr.read().decode()
    assert (process.returncode, said) == (0, "")


async def test_an_unreadable_event_is_told_apart_from_the_lines(database, story):
    async with connection_of(database, "auditor") as auditor:
        query = "select body from ledger.events where partition = 0 and position = 4"
        body = await auditor.fetchval(query)
    change = (
        "set session_replication_role = replica; "
        "update ledger.events set body = '\\x{}' where partition = 0 and position = 4"
    )
    database.sql(change.format(b"{\n".hex()))
    try:
        done = audit(database, "events", "--partition", "0")
    finally:
        database.sql(change.format(body.hex()))
    assert done.returncode == 1
    assert "event 0:4 cannot be read" in done.stderr
    assert [orjson.loads(line)["position"] for line in done.stdout.splitlines()] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "nothing"], "choose of entries, requests, grants"),
        (["balance", "acct_1"], "is not an account"),
        (["balance", account_in(0)], "unknown_account"),
        (["balance", "STORY", "--at", "6"], "ends at position 5"),
        (["balance", "STORY", "--at", "0"], "unknown_account"),
        (["balance", "STORY", "--at", "2026-11-20T12:00:00"], "neither a position nor a time"),
        (["balance", "STORY", "--at", "2026-13-20T12:00:00Z"], "neither a position nor a time"),
        (["balance", "STORY", "--at", "-1"], "neither a position nor a time"),
        (["events", "--type", "Nothing"], "no event type 'Nothing'"),
        (["events", "--account", "part_x"], "is not an account"),
        (["events", "--partition", "3"], "no partition 3"),
        (["events", "--partition", "1", "--account", "STORY"], "is of partition 0"),
        (["events", "--until", "yesterday"], "neither a position nor a time"),
        (["events", "--from", "-1"], "neither a position nor a time"),
    ],
)
async def test_what_cannot_be_answered_ends_with_status_2(database, story, words, said):
    done = audit(database, *(story.name if word == "STORY" else word for word in words))
    assert (done.returncode, said in done.stderr, done.stdout) == (2, True, ""), done.stderr
    assert "Traceback" not in done.stderr
