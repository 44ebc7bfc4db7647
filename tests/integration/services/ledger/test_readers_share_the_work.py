"""Reader processes on real servers, asked over NATS."""

import httpx
import nats.errors
import orjson
import pytest

from libs.events import subjects
from services.ledger import reader
from services.ledger.projections.projector import NAMES
from services.ledger.reader import NotMigratedError
from services.ledger.settings import ReaderSettings
from tests.support.database import Database
from tests.support.log_builder import LogBuilder
from tests.support.nats import connected
from tests.support.projecting import connection_of
from tests.support.services import begun, readiness, running
from tests.support.settings import settings_for
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def story(database, streams):
    builder = LogBuilder(partition=1)
    builder.name = builder.account()
    builder.grant(builder.name, 100)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    await write(database, builder)
    return builder


@pytest.fixture
async def gateway(stack):
    async with connected(stack, "gateway") as client:
        yield client


async def write(database, builder):
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)


def settings(database, folder, name="reader", **given):
    return settings_for(
        ReaderSettings, "reader", database, process_name=name, data_dir=folder, **given
    )


def balance_of(builder):
    return orjson.dumps({"account_id": builder.name})


async def lines(client, builder):
    subject = subjects.query(1, "entries")
    message = await client.request(subject, balance_of(builder), timeout=5)
    return orjson.loads(message.data)["data"]["entries"]


async def test_it_answers_and_projects(database, story, gateway, tmp_path):
    async with running(reader.serve, settings(database, tmp_path)):
        assert [line["amount"] for line in await lines(gateway, story)] == ["100"]


async def test_a_hint_wakes_it_long_before_its_poll(database, story, gateway, stack, tmp_path):
    async with running(reader.serve, settings(database, tmp_path, poll_s=60.0)):
        await until(lambda: projected(database, story.position))
        story.grant(story.name, 7)
        await write(database, story)
        async with connected(stack, "ledger") as ledger:
            await ledger.publish(subjects.committed(1), b"")
            await until(lambda: projected(database, story.position))


async def projected(database, position, partition=1):
    async with connection_of(database, "auditor") as auditor:
        rows = await auditor.fetch(
            "select position from ledger.projection_positions where partition = $1", partition
        )
    return len(rows) == len(NAMES) and all(row["position"] >= position for row in rows)


async def test_two_readers_answer_each_question_once_and_either_alone_answers(
    database, story, gateway, tmp_path
):
    question, subject = balance_of(story), subjects.query(1, "balance")
    inbox = gateway.new_inbox()
    answers = await gateway.subscribe(inbox)
    async with running(reader.serve, settings(database, tmp_path / "2", "reader-2")):
        async with running(reader.serve, settings(database, tmp_path / "1", "reader-1")):
            for _ in range(30):
                await gateway.publish(subject, question, reply=inbox)
            for _ in range(30):
                assert orjson.loads((await answers.next_msg(timeout=5)).data)["ok"]
            with pytest.raises(nats.errors.TimeoutError):
                await answers.next_msg(timeout=0.2)
        assert len(await lines(gateway, story)) >= 1
        story.grant(story.name, 3)
        await write(database, story)
        await until(lambda: projected(database, story.position))


async def test_it_answers_nowhere_but_in_an_inbox(database, story, gateway, stack, tmp_path):
    """The reader may not be made to speak on a subject that its asker may not use."""
    async with (
        running(reader.serve, settings(database, tmp_path)) as lifecycle,
        connected(stack, "ledger") as ledger,
    ):
        heard = await ledger.subscribe("ledger.commands.>")
        await ledger.flush()
        for forged in ("ledger.commands.1.money", "quarantine.reader.1", "ledger.committed.1"):
            await gateway.publish(subjects.query(1, "balance"), balance_of(story), reply=forged)
        assert len(await lines(gateway, story)) >= 1
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.2)
        assert lifecycle.exit_code == 0


@pytest.mark.parametrize("headers", [None, {"content-type": "application/json"}])
@pytest.mark.parametrize("raw", [b"no json", b"\xff\x00", b"[1]"])
async def test_a_malformed_question_gets_an_answer(
    database, story, gateway, tmp_path, headers, raw
):
    async with running(reader.serve, settings(database, tmp_path)):
        message = await gateway.request(
            subjects.query(1, "balance"), raw, timeout=5, headers=headers
        )
        assert orjson.loads(message.data)["code"] == "malformed"
        assert len(await lines(gateway, story)) >= 1


@pytest.mark.requirement("RSV-3")
async def test_a_malformed_event_goes_to_quarantine_with_its_position(
    database, story, gateway, stack, tmp_path
):
    builder = LogBuilder(partition=2)
    builder.name = builder.account()
    builder.grant(builder.name, 5)
    builder.grant(builder.name, 6)
    await write(database, builder)
    async with connection_of(database, "postgres") as superuser:
        await superuser.execute("set session_replication_role = replica")
        await superuser.execute(
            "update ledger.events set body = 'x' where partition = 2 and position = 2"
        )
    async with running(reader.serve, settings(database, tmp_path)):
        await until(lambda: projected(database, 3, partition=2))
    async with connected(stack, "provision") as client:
        message = await client.jetstream().get_last_msg(
            subjects.QUARANTINE_STREAM, subjects.quarantine("reader", 2)
        )
    assert (message.data, message.headers[subjects.POSITION_HEADER]) == (b"x", "2")


async def test_it_is_not_ready_while_a_partition_stands_still(database, story, tmp_path):
    async with connection_of(database, "postgres") as superuser:
        await superuser.execute(
            "alter table ledger.entries add constraint stop check (amount <> 13) not valid"
        )
    story.grant(story.name, 13)
    await write(database, story)
    made = settings(database, tmp_path)
    async with begun(reader.serve, made), httpx.AsyncClient() as client:

        async def told() -> bool:
            status, text = await readiness(client, made)
            return status == 503 and "CheckViolationError" in text

        await until(told)
    async with connection_of(database, "postgres") as superuser:
        await superuser.execute("alter table ledger.entries drop constraint stop")


async def test_a_database_that_was_never_migrated_is_refused(stack, database, story, tmp_path):
    stack.create_database("empty_for_reader")
    try:
        empty = Database(stack, "empty_for_reader")
        with pytest.raises(NotMigratedError):
            async with running(reader.serve, settings(empty, tmp_path)):
                pass
    finally:
        stack.drop_database("empty_for_reader")
