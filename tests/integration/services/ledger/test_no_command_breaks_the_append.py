"""Whatever decodes can be decided and written: no story of extreme commands stops the writer."""

import orjson
import pytest

from libs.events import commands as c
from libs.events.codec import Malformed, decode_command, decode_event, encode_command
from libs.events.events import TYPE_NAMES
from services.ledger.verify import verify
from tests.support.extremes import Extremes
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

NEVER_BROKEN = frozenset({"Malformed", "RejectedByStore", "Busy"})


@pytest.fixture
async def bench(database):
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


@pytest.mark.requirement("RSV-3", "CRD-1", "CRD-5", "AUD-6")
@pytest.mark.parametrize("seed", range(4))
async def test_no_command_that_decodes_can_make_the_append_fail(bench, database, seed):
    extremes = Extremes(seed, bench.at)
    await never_broken(bench, extremes.begin())
    for _ in range(60):
        batch = [extremes.draw() for _ in range(extremes.chance.randint(1, 12))]
        await never_broken(bench, batch)
        bench.clock.advance(extremes.chance.choice([0.0, 1.0, 3_600.0, 100_000.0]))
        extremes.at = bench.at
        if extremes.chance.random() < 0.2:
            await bench.writer.take_over()
    await never_broken(bench, extremes.end())
    await never_broken(bench, [extremes.draw() for _ in range(40)])
    for row in await bench.connection.fetch("select body from ledger.events where partition = 0"):
        assert not isinstance(decode_event(row["body"]), Malformed)
    await project(database)
    async with connection_of(database, "auditor") as auditor:
        assert (await verify(auditor, lambda _line: None)).differences == []


async def test_the_stories_together_write_every_type_of_event(bench):
    """The last to run: what no story reaches is not proven."""
    rows = await bench.connection.fetch("select distinct type from ledger.events")
    rare = {"CataloguePublished", "IncarnationStarted"}
    assert {TYPE_NAMES[row["type"]] for row in rows} >= set(TYPE_NAMES.values()) - rare


async def never_broken(bench, batch):
    batch = [as_sent(told) for told in batch]
    for told, reply in zip(batch, await bench.run(*batch), strict=True):
        assert reply["reply"] not in NEVER_BROKEN, (told, reply)


def as_sent(told: c.Command) -> c.Command:
    decoded = decode_command(encode_command(told))
    assert not isinstance(decoded, Malformed), (told, decoded)
    return decoded


def test_an_integer_above_64_bits_would_not_fit_a_row():
    """Why counters and sums are bounded: the row's JSON refuses what a bigint cannot hold."""
    with pytest.raises(TypeError):
        orjson.dumps(2**64)
