"""Commands that are decided while another batch is written: as if that were written already."""

import asyncio
from datetime import timedelta

import pytest

from libs.events import commands as c
from libs.events.chain import body_hash
from tests.seeded.held import ACCOUNT, FIRST, KEY, OTHER, SECOND, THIRD
from tests.support import deciding as d

DERIVED = f"req_{1:012x}8{2:019x}"
"""An id as it is made from a client's words."""


@pytest.mark.requirement("RSV-1")
async def test_what_is_decided_ahead_is_answered_after_its_own_append(held):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 30)
    await held.decided()
    assert not held.waits, "it was decided already"
    first.set_result(None)
    second = await held.append()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Reserved", None)
    second.set_result(None)
    await held.decided()
    assert held.reply(SECOND) == "Reserved"
    assert held.balance == (10, 90)
    bodies = held.database.bodies()
    assert [body["version"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert bodies[-1]["prev"] == body_hash(held.database.events[len(bodies) - 1][3]).hex()


@pytest.mark.requirement("RSV-3")
async def test_a_credit_held_by_the_batch_being_written_is_not_held_again_ahead(held):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 60)
    await held.decided()
    first.set_result(None)
    await held.decided()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Reserved", "Declined")
    assert held.balance == (40, 60)


@pytest.mark.requirement("RSV-3")
async def test_a_repeat_of_what_is_being_written_gets_its_reply_once_that_stands(held):
    command = d.reserve(ACCOUNT, KEY, 40, held.clock.now(), res=FIRST)
    held.ask(command, "asked")
    first = await held.append()
    held.ask(command, "again")
    await held.decided()
    assert held.replies == {}
    first.set_result(None)
    await held.decided()
    assert held.session.appending.empty(), "it was known, not accepted again"
    assert held.replies["asked"] == held.replies["again"]
    assert held.balance == (60, 40)


@pytest.mark.requirement("RSV-3")
async def test_a_deadline_that_passes_while_the_append_hangs_is_kept(held):
    held.hold(FIRST, 10)
    first = await held.append()
    late = d.reserve(ACCOUNT, KEY, 10, held.clock.now() + timedelta(seconds=5), res=SECOND)
    held.clock.advance(20)
    held.ask(late, SECOND)
    await held.decided()
    first.set_result(None)
    await held.decided()
    assert held.replies[SECOND]["data"]["code"] == "deadline_passed"


@pytest.mark.requirement("RSV-1")
async def test_a_hold_released_by_the_batch_being_written_is_not_settled_ahead(held):
    held.hold(FIRST, 60)
    await held.commit()
    held.ask(d.release(ACCOUNT, FIRST), "release")
    releasing = await held.append()
    held.ask(d.settle(ACCOUNT, FIRST, 60), "settle")
    await held.decided()
    assert held.waits, "what became of the hold is read once it is written"
    releasing.set_result(None)
    await held.decided()
    assert (held.reply("release"), held.reply("settle")) == ("Released", "Conflict")
    assert held.balance == (100, 0)


@pytest.mark.requirement("RSV-1")
async def test_the_hold_of_another_account_waits_for_its_look_up(held):
    held.hold(FIRST, 60)
    await held.commit()
    await held.open(OTHER)
    held.hold(SECOND, 10)
    second = await held.append()
    held.ask(d.settle(OTHER, FIRST, 60), "settle")
    await held.decided()
    assert held.waits
    second.set_result(None)
    await held.decided()
    assert held.replies["settle"]["data"]["code"] == "unknown_reservation"
    assert held.balance == (30, 70)


@pytest.mark.requirement("RSV-1")
async def test_an_id_that_another_account_may_have_used_waits_for_its_look_up(held):
    """Such an id is made from a client's words: only the log knows who came first."""
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(DERIVED, 10)
    await held.decided()
    assert held.waits
    first.set_result(None)
    await held.commit()
    assert held.reply(DERIVED) == "Reserved"


async def test_a_catalogue_that_is_being_written_sells_ahead(held):
    newer = "d" * 64
    held.ask(d.publish(0, newer), "publish")
    publishing = await held.append()
    held.hold(FIRST, 60, catalogue=newer)
    await held.decided()
    assert not held.waits
    publishing.set_result(None)
    await held.commit()
    assert (held.reply("publish"), held.reply(FIRST)) == ("Published", "Reserved")


async def test_what_was_decided_ahead_counts_as_waiting(held):
    """Or a ledger that cannot write would take more than it says it does."""
    held.hold(FIRST, 10)
    await held.append()
    held.hold(SECOND, 10)
    held.hold(THIRD, 10)
    await held.decided()
    assert not held.waits
    assert len(held.queue) == 2


@pytest.mark.requirement("RSV-2")
async def test_a_hold_extended_by_the_batch_being_written_is_settled_as_extended(held):
    held.hold(FIRST, 10)
    await held.commit()
    longer = {"res": FIRST, "total": 60, "hold_ms": 60_000, "used_so_far": 0}
    until = held.clock.now() + timedelta(seconds=60)
    caller = f"extend:{FIRST}:1"
    held.ask(d.command(c.Extend, ACCOUNT, longer, caller_id=caller, deadline=until), "extend")
    below = await held.append()
    held.ask(d.settle(ACCOUNT, FIRST, 60), "settle")
    await held.decided()
    assert not held.waits
    below.set_result(None)
    await held.commit()
    assert (held.reply("extend"), held.reply("settle")) == ("Extended", "Settled")
    assert held.balance == (40, 0)


@pytest.mark.requirement("RSV-3")
async def test_a_deadline_that_passes_between_deciding_ahead_and_the_rest_is_kept(held):
    held.hold(FIRST, 10)
    below = await held.append()
    held.hold(SECOND, 10)
    await held.decided()
    until = held.clock.now() + timedelta(seconds=5)
    held.ask(d.reserve(ACCOUNT, KEY, 10, until, res=DERIVED), DERIVED)
    await held.decided()
    assert held.waits
    held.clock.advance(20)
    below.set_result(None)
    await held.commit()
    assert held.replies[DERIVED]["data"]["code"] == "deadline_passed"


@pytest.mark.requirement("RSV-3")
async def test_what_is_refused_ahead_is_looked_up_before_the_refusal_stands(held):
    """The log holds the first of them, which the ledger does not remember any more."""
    held.hold(FIRST, 60)
    await held.commit()
    held.hold(SECOND, 40)
    below = await held.append()
    held.writer.working.commands.clear()
    held.replies.clear()
    held.hold(FIRST, 60)
    held.ask(d.settle(ACCOUNT, THIRD, 1), "unknown")
    await held.decided()
    below.set_result(None)
    await held.decided()
    assert (held.reply(FIRST), held.reply("unknown")) == ("Reserved", "Declined")
    assert held.balance == (0, 100)


async def test_batches_do_not_keep_those_below_them(held):
    held.hold(FIRST, 1)
    below, begun = await held.append(), []
    for n in range(5):
        held.hold(f"req_{n:012x}7{n:019x}", 1)
        await held.decided()
        begun.append(held.writer._ahead._batch)
        below.set_result(None)
        below = await held.append()
    assert [batch.overlay.under for batch in begun] == [None] * 5


async def test_what_is_decided_ahead_is_written_before_the_writer_ends(held):
    held.running.cancel()
    await asyncio.gather(held.running, return_exceptions=True)
    drained = asyncio.Event()
    held.running = asyncio.create_task(held.writer.run(drained))
    held.hold(FIRST, 10)
    first = await held.append()
    held.hold(SECOND, 10)
    await held.decided()
    drained.set()
    held.queue.wake()
    first.set_result(None)
    await held.commit()
    async with asyncio.timeout(5):
        await held.running
    assert held.reply(SECOND) == "Reserved"
