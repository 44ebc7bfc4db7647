"""An expiry has no caller who would repeat it: the leader itself must come back to it (RSV-4)."""

import asyncio
import random

import pytest

from libs.runtime.clock import ManualClock
from services.ledger.command_queue import CommandQueue
from services.ledger.expiry import AGAIN_S, Expiry
from services.ledger.store import LogEnd
from services.ledger.working_set import WorkingSet
from services.ledger.writer import Writer
from tests.seeded.cluster import SETTINGS
from tests.seeded.database import Chances, Database, Session
from tests.seeded.virtual_loop import VirtualLoop, run_virtually
from tests.support import deciding as d
from tests.support.writing import START, pending

ACCOUNT, KEY, RES = f"acct_{1:032x}", f"key_{1:032x}", f"req_{1:032x}"


class SlowSession(Session):
    """Its reads take a while, as those of a real connection do."""

    async def last_event(self) -> LogEnd:
        await asyncio.sleep(0.01)
        return await super().last_event()


async def _nothing(*_told: object) -> None:
    pass


async def _lead(session: Session, clock: ManualClock) -> tuple[Writer, Expiry]:
    queue = CommandQueue(256, clock.monotonic)
    writer = Writer(
        session, WorkingSet(10, 10), queue, clock, incarnation=1, reply=_nothing,
        committed=_nothing,
    )  # fmt: skip
    await writer.take_over()
    return writer, Expiry(writer, queue, SETTINGS)


async def _story(refused: bool) -> Database:
    database, clock = Database(random.Random(1), Chances(0, 0, 0, 0)), ManualClock(START)
    writer, expiry = await _lead(SlowSession(database), clock)
    commands = [
        d.publish(0),
        d.open_account(ACCOUNT, initial=100),
        d.issue_key(ACCOUNT, KEY, clock.now()),
        d.reserve(ACCOUNT, KEY, 60, clock.now(), res=RES),
    ]
    await writer.step([pending(command, None) for command in commands])
    clock.advance(120)
    database.chances.refused = 1.0
    if refused:
        expiry.queue_due()
        await writer.step(writer.queue.take())
    else:  # it comes due while the writer reads its holds again
        reading = asyncio.create_task(writer.take_over())
        await asyncio.sleep(0)
        expiry.queue_due()
        await reading
    database.chances.refused = 0.0
    assert database.reservations
    clock.advance(AGAIN_S + 1)
    expiry.queue_due()
    await writer.step(writer.queue.take())
    return database


@pytest.mark.requirement("RSV-4")
@pytest.mark.parametrize("refused", [True, False])
def test_a_hold_is_closed_although_its_expiry_was_once_refused(refused):
    loop = VirtualLoop()
    database = run_virtually(_story(refused), loop)
    assert not database.reservations
    assert database.accounts[ACCOUNT[5:]]["available"] == 100
