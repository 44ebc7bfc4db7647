from datetime import UTC, datetime

import orjson
import pytest

from libs.events.codec import encode_command
from libs.events.ids import new_id, partition_of
from services.ledger.command_queue import CommandQueue
from services.ledger.intake import Intake, malformed
from services.ledger.settings import LedgerSettings
from tests.support.deciding import publish, release, reserve

ACCOUNT, KEY = new_id("acct"), new_id("key")


def a_release():
    return encode_command(release(ACCOUNT, new_id("req")))


class World:
    def __init__(self, partitions=1, **limits):
        self.answers, self.quarantined = [], []
        self.queue = CommandQueue(256, lambda: 0.0)
        self.intake = Intake(
            0, partitions, self.queue, LedgerSettings(**limits), incarnation=1,
            reply=self.reply, quarantine=self.quarantine,
        )  # fmt: skip

    async def reply(self, subject, raw):
        self.answers.append((subject, orjson.loads(raw)["reply"]))

    async def quarantine(self, raw, error):
        self.quarantined.append((raw, error))

    def receive(self, raw, subject="ledger.commands.0.use", reply="inbox.gateway.1"):
        self.intake.receive(subject, reply, raw)


def a_reserve():
    return encode_command(reserve(ACCOUNT, KEY, 1, datetime.now(UTC)))


async def test_a_command_is_queued_before_the_next_is_read():
    world = World()
    world.receive(a_reserve())
    world.receive(a_reserve())
    assert len(world.queue) == 2


async def test_what_is_no_command_is_answered_and_kept_by_the_time_the_intake_is_closed():
    world, before = World(), malformed.value
    world.receive(b"rubbish")
    await world.intake.close()
    assert world.answers == [("inbox.gateway.1", "Malformed")]
    assert malformed.value == before + 1
    assert [raw for raw, _ in world.quarantined] == [b"rubbish"]
    assert world.queue.empty


@pytest.mark.parametrize("partitions", [1, 4])
async def test_an_account_is_taken_where_it_is_at_home_alone(partitions):
    world = World(partitions)
    accounts = [new_id("acct") for _ in range(20)]
    for account in accounts:
        world.receive(encode_command(release(account, new_id("req"))))
    await world.intake.close()
    here = [account for account in accounts if partition_of(account, partitions) == 0]
    assert [pending.command.account_id for pending in world.queue.take()] == here
    assert len(world.answers) == len(accounts) - len(here)


@pytest.mark.parametrize(("stream", "queued"), [(0, 1), (1, 0), (9, 0)])
async def test_a_partitions_own_stream_is_taken_by_that_partition_alone(stream, queued):
    world = World(4)
    world.receive(encode_command(publish(stream)), subject="ledger.commands.0.admin")
    await world.intake.close()
    assert len(world.queue) == queued
    assert len(world.answers) == 1 - queued


async def test_a_reply_subject_that_is_no_inbox_is_not_answered():
    world = World()
    world.receive(a_reserve(), reply="ledger.commands.0.money")
    await world.intake.close()
    assert world.answers == []
    assert len(world.quarantined) == 1


@pytest.mark.parametrize(("waiting", "busy"), [(1, ["Busy"]), (0, [])])
async def test_what_takes_is_refused_first_when_too_many_wait(waiting, busy):
    world = World(busy_above=0)
    for _ in range(waiting):
        world.receive(a_release())
    world.receive(a_reserve())
    await world.intake.close()
    assert [answer for _, answer in world.answers] == busy
