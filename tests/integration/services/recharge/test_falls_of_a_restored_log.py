"""After a restore an account may fall at a position where the lost history had it fall, too."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from libs.events.ids import new_id
from services.recharge.store import Fall

pytestmark = pytest.mark.requirement("RCH-2")


async def test_the_fall_of_the_later_incarnation_counts_at_whatever_position(world):
    lost = Fall(
        account_id=new_id("acct"),
        partition=0,
        incarnation=1,
        position=118,
        occurred_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
        state="reported",
    )
    await world.saw(lost)
    await world.saw(replace(lost, incarnation=2, position=101, state="watched"))
    row = await world.row(lost.account_id)
    assert (row.incarnation, row.position, row.state) == (2, 101, "watched")
    await world.saw(lost)
    row = await world.row(lost.account_id)
    assert (row.incarnation, row.position) == (2, 101), "what comes again late changes nothing"
