"""What was decided on a batch that did not come to be: forgotten, and decided anew."""

import asyncpg
import pytest

from libs.runtime.positions import Incarnation
from services.ledger import writer
from services.ledger.batch import Batch
from services.ledger.bodies import Log
from services.ledger.loaded import NOTHING
from services.ledger.writer import CannotWrite, NotLeading
from tests.seeded.held import ACCOUNT, FIRST, SECOND, THIRD
from tests.support import deciding as d


@pytest.mark.requirement("RSV-3")
async def test_what_was_decided_on_a_batch_that_failed_is_decided_anew(held):
    """The first hold is refused by the database: the second finds its credits there."""
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 60)
    held.ask(d.release(ACCOUNT, FIRST), "release")
    await held.decided()
    first.set_exception(asyncpg.CheckViolationError("refused"))
    second = await held.append()
    second.set_result(None)
    await held.decided()
    assert held.reply(FIRST) == "RejectedByStore"
    assert (held.reply(SECOND), held.reply("release")) == ("Reserved", "Declined")
    assert held.balance == (40, 60)
    assert [*held.database.reservations] == [SECOND[4:]]


async def test_what_waits_for_a_full_disk_is_answered_busy(held):
    held.hold(FIRST, 10)
    first = await held.append()
    held.hold(SECOND, 10)
    await held.decided()
    first.set_exception(asyncpg.DiskFullError("no space"))
    await _gives_up(held)
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Busy", "Busy")


async def test_what_raised_ahead_is_forgotten_with_the_batch_it_stood_on(held, monkeypatch):
    """Or a defect there would keep those who wait from hearing that the disk is full."""
    held.hold(FIRST, 10)
    first = await held.append()
    monkeypatch.setattr(Batch, "run", _broken)
    held.hold(SECOND, 10)
    held.hold(THIRD, 10)
    await held.decided()
    first.set_exception(asyncpg.DiskFullError("no space"))
    await _gives_up(held)
    assert (held.reply(SECOND), held.reply(THIRD)) == ("Busy", "Busy")


async def test_what_raised_on_a_batch_that_failed_is_decided_anew(held, monkeypatch):
    held.hold(FIRST, 60)
    first = await held.append()
    with monkeypatch.context() as broken:
        broken.setattr(Batch, "run", _broken)
        held.hold(SECOND, 60)
        await held.decided()
    first.set_exception(asyncpg.CheckViolationError("refused"))
    await held.commit()
    assert (held.reply(FIRST), held.reply(SECOND)) == ("RejectedByStore", "Reserved")


async def test_what_raised_ahead_keeps_nobody_from_hearing_that_the_ledger_ends(held, monkeypatch):
    held.hold(FIRST, 10)
    first = await held.append()
    monkeypatch.setattr(Batch, "run", _broken)
    held.hold(SECOND, 10)
    await held.decided()
    monkeypatch.setattr(held.writer, "_ensure_room", _full)
    first.set_result(None)
    await _gives_up(held)
    assert held.reply(SECOND) == "Busy"


async def _gives_up(held):
    """As a leader does that cannot write any more."""
    with pytest.raises(CannotWrite):
        await held.running
    await held.writer.refuse_waiting()


async def _full():
    raise CannotWrite("the database is full")


async def test_a_batch_begun_elsewhere_than_at_the_end_ends_the_writer(held):
    elsewhere = Log(0, 1, held.writer.position + 1)
    begun = Batch(held.writer.working, NOTHING, elsewhere, held.writer.now())
    with pytest.raises(AssertionError, match="begun at"):
        await held.writer.step([], begun)


async def test_a_defect_ahead_ends_the_writer_once_the_batch_below_is_answered(held, monkeypatch):
    held.hold(FIRST, 10)
    first = await held.append()
    monkeypatch.setattr(Batch, "run", _broken)
    held.hold(SECOND, 10)
    await held.decided()
    first.set_result(None)
    with pytest.raises(ZeroDivisionError):
        await held.running
    assert (held.reply(FIRST), held.reply(SECOND)) == ("Reserved", None)


def _broken(_batch, _pending):
    raise ZeroDivisionError


@pytest.mark.requirement("RSV-3")
async def test_commands_tried_one_by_one_keep_their_order_with_those_that_come(held):
    """More of them than the batches that are looked up first after a failure."""
    held.hold(_res(1000), 1)
    blocked = await held.append()
    for n in range(1, 61):
        held.hold(_res(n), 1)
    held.ask(d.open_account(f"acct_{9:032x}"), "no command to decide ahead")
    await held.decided()
    blocked.set_result(None)
    (await held.append()).set_exception(asyncpg.DeadlockDetectedError("refused"))
    for n in range(2000, 2030):
        one = await held.append()
        held.hold(_res(n), 1)
        await held.decided()
        one.set_result(None)
        await held.decided()
    await held.commit_all()
    held_in_order = [int(body["data"]["res"][-19:], 16) for body in _opened(held)]
    assert held_in_order == [1000, *range(1, 61), *range(2000, 2030)]
    assert all(held.reply(_res(n)) == "Reserved" for n in held_in_order)
    assert len(held.queue) == 0


@pytest.mark.requirement("RSV-3")
async def test_an_unknown_outcome_answers_nothing_of_what_stands_on_it(held):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 60)
    await held.decided()
    first.set_exception(asyncpg.ConnectionDoesNotExistError("cut"))
    with pytest.raises(NotLeading):
        await held.running
    assert held.replies == {}


@pytest.mark.requirement("RSV-3")
async def test_a_repeat_in_the_batch_below_has_all_that_stands_on_it_decided_anew(held):
    held.hold(FIRST, 10)
    await held.commit()
    held.writer.working.commands.clear()
    held.replies.clear()
    held.hold(SECOND, 10)
    held.hold(FIRST, 10)
    below = await held.append()
    held.hold(THIRD, 10)
    held.ask(d.release(ACCOUNT, SECOND), "release")
    await held.decided()
    assert not held.waits
    below.set_result(None)  # its key is taken
    await held.decided()
    await held.commit_all()
    replies = [held.reply(name) for name in (FIRST, SECOND, THIRD, "release")]
    assert replies == ["Reserved", "Reserved", "Reserved", "Released"]
    assert held.balance == (80, 20)


@pytest.mark.requirement("OPS-2")
async def test_what_was_decided_ahead_is_decided_anew_in_a_new_life_of_the_log(held, monkeypatch):
    held.hold(FIRST, 60)
    first = await held.append()
    held.hold(SECOND, 30)
    await held.decided()
    assert not held.waits

    async def begin(_connection, end, _stream, _wanted, _moment):
        return (end.position + 1, "0" * 32, 1, 1, b"{}", b"1" * 32)

    monkeypatch.setattr(writer, "begin", begin)
    held.writer.want(Incarnation(2, 1))
    first.set_result(None)
    await held.commit()
    assert held.replies[SECOND]["incarnation"] == 2


def _res(number: int) -> str:
    return f"req_{number:012x}7{number:019x}"


def _opened(held):
    return [body for body in held.database.bodies() if body["type"] == "CreditsReserved"]
