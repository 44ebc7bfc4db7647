"""A round ends when it is told to, also where a look under way did not hear it."""

import asyncio
import contextlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from services.recharge.rounds import AT_ONCE, Rounds

ROWS = [SimpleNamespace(account_id=f"acct_{number}") for number in range(3 * AT_ONCE)]


class Store:
    async def due(self, _now: datetime, _limit: int) -> list[SimpleNamespace]:
        return ROWS


class Looker:
    """Loses a cancellation in each look, as asyncio.wait_for may when the answer comes with it."""

    def __init__(self) -> None:
        self.looks = 0
        self.waiting = asyncio.Event()

    async def look(self, _row: SimpleNamespace, _run: str | None) -> str:
        self.looks += 1
        if self.looks == AT_ONCE:
            self.waiting.set()
        if self.looks <= AT_ONCE:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return "looked"


async def test_no_further_account_is_looked_at():
    looker = Looker()
    rounds = Rounds(cast("Any", Store()), cast("Any", looker), lambda: datetime.now(UTC), idle_s=1)
    following = asyncio.create_task(rounds.follow())
    await looker.waiting.wait()
    following.cancel()
    await asyncio.wait({following})
    assert following.cancelled()
    assert looker.looks == AT_ONCE
