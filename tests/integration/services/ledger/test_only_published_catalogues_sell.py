"""A hold names a catalogue that its partition was told to sell by, or nothing is held (CRD-6)."""

import hashlib
from datetime import timedelta

import pytest

from libs.events.ids import new_id
from libs.runtime.positions import Incarnation
from services.ledger.verify import verify
from tests.support.deciding import (
    CATALOGUE,
    grant,
    issue_key,
    open_account,
    publish,
    reserve,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("CRD-6")
TEXT = '{"plans":{}}'
SECOND = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture
async def bench(stack, template):
    """A writer of a partition that was told nothing yet."""
    from tests.support.database import make_database

    database = make_database(stack, template)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    made = await open_bench(database.dsn("ledger"), selling=False)
    made.database = database
    yield made
    await made.close()
    stack.drop_database(database.name)


async def rich(bench):
    account, key = account_in(0), new_id("key")
    await bench.run(open_account(account), issue_key(account, key, bench.at), grant(account, 1000))
    return account, key


def told(replies):
    return [reply["data"].get("code", reply["reply"]) for reply in replies]


async def differences(bench):
    await project(bench.database)
    async with connection_of(bench.database, "auditor") as auditor:
        return (await verify(auditor, lambda _line: None)).differences


async def test_nothing_is_held_by_a_catalogue_that_is_unknown_early_or_withdrawn(bench):
    account, key = await rich(bench)

    def holds():
        return [reserve(account, key, 1, bench.at, catalogue=c) for c in (CATALOGUE, SECOND)]

    assert told(await bench.run(*holds())) == ["unknown_catalogue"] * 2, "nothing was published"
    assert told(await bench.run(publish(0), *holds())) == [
        "Published", "Reserved", "unknown_catalogue",
    ]  # fmt: skip
    soon = bench.at + timedelta(seconds=10)
    after = publish(0, SECOND, effective_from=soon, withdraws=[CATALOGUE], text=TEXT)
    (first,) = await bench.run(after)
    assert told(await bench.run(*holds())) == ["Reserved", "unknown_catalogue"], "not yet"
    await bench.writer.take_over()
    assert told(await bench.run(*holds())) == ["Reserved", "unknown_catalogue"], "not yet"
    bench.clock.advance(10.0)
    assert told(await bench.run(*holds())) == ["unknown_catalogue", "Reserved"], "one for the other"
    await bench.writer.take_over()
    assert told(await bench.run(*holds())) == ["unknown_catalogue", "Reserved"], "after a restart"
    assert await bench.run(after) == [first], "a repeat gets the first reply"
    assert told(await bench.run(publish(0, SECOND))) == ["fingerprint"], "once, for good"
    assert await bench.connection.fetchval("select text from ledger.catalogues") == TEXT
    assert await differences(bench) == []


async def test_what_was_held_is_settled_by_the_catalogue_it_was_held_by(bench):
    account, key = await rich(bench)
    res = new_id("req")
    hold = reserve(account, key, 60, bench.at, res=res)
    (_, reserved) = await bench.run(publish(0), hold)
    ended = publish(0, SECOND, withdraws=[CATALOGUE])
    assert told(await bench.run(ended, settle(account, res, 50))) == ["Published", "Settled"]
    await bench.writer.take_over()
    assert await bench.run(hold) == [reserved], "what was accepted stays accepted"
    assert await differences(bench) == []


async def test_two_catalogues_of_one_batch_end_one_another(bench):
    account, key = await rich(bench)
    third = "3" * 64
    replies = await bench.run(
        publish(0), publish(0, SECOND, withdraws=[CATALOGUE]), publish(0, third, withdraws=[SECOND]),
        *(reserve(account, key, 1, bench.at, catalogue=c) for c in (CATALOGUE, SECOND, third)),
    )  # fmt: skip
    assert told(replies) == ["Published"] * 3 + ["unknown_catalogue"] * 2 + ["Reserved"]
    assert await differences(bench) == []


async def test_what_was_never_published_cannot_be_withdrawn(bench):
    (reply,) = await bench.run(publish(0, withdraws=[SECOND]))
    assert (reply["data"]["code"], reply["data"]["parameter"]) == ("unknown_catalogue", "withdraws")


async def test_catalogues_and_incarnations_stand_in_one_chain(bench):
    await bench.run(publish(0))
    for number in (2, 3):
        bench.writer.want(Incarnation(number, 1))
        await bench.writer._begin(Incarnation(number, 1))  # noqa: SLF001
    await bench.run(publish(0, SECOND))
    await bench.writer.take_over()
    await bench.run(publish(0, "3" * 64))
    assert await differences(bench) == []
