"""Looking again: every account that is due, and all of them when a sweep says so."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from libs.runtime import metrics
from services.recharge.looks import Looker
from services.recharge.store import Fallen, Store

PAGE = 256
AT_ONCE = 8
"""Looks under way at a time; each asks the ledger a few questions."""
SHORTEST_PAUSE_S = 0.01


class Rounds:
    """Looks at accounts, each by one task at a time. `now` is the ledger's time."""

    def __init__(
        self, store: Store, looker: Looker, now: Callable[[], datetime], *, idle_s: float
    ) -> None:
        self._store = store
        self._looker = looker
        self._now = now
        self._idle_s = idle_s
        self._woken = asyncio.Event()
        self._one_batch = asyncio.Lock()
        self._looks = metrics.counter("recharge_looks_total", "Looks at accounts that fell.")

    def wake(self) -> None:
        """Look at the table at once: an account fell."""
        self._woken.set()

    async def follow(self) -> None:
        """Look at what is due, for ever."""
        while True:
            self._woken.clear()
            rows = await self._store.due(self._now(), PAGE)
            if rows:
                await self._look_at(rows, None)
            else:
                await self._pause()

    async def sweep(self, run: str) -> Counter[str]:
        """Look at every account that is watched; returns how often each outcome came."""
        outcomes: Counter[str] = Counter()
        rows = await self._store.after("", PAGE)
        while rows:
            outcomes += await self._look_at(rows, run)
            rows = await self._store.after(rows[-1].account_id, PAGE)
        return outcomes

    async def _look_at(self, rows: Sequence[Fallen], run: str | None) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        waiting = iter(rows)

        async def work() -> None:
            me = asyncio.current_task()
            for row in waiting:
                self._looks.inc()
                outcomes[await self._looker.look(row, run)] += 1
                if me is not None and me.cancelling():
                    return  # the group tells its tasks once, and the look may not have heard it

        # A sweep and a due look at one account would only refuse each other's attempt.
        async with self._one_batch, asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(rows))):
                group.create_task(work())
        return outcomes

    async def _pause(self) -> None:
        due = await self._store.next_look()
        seconds = self._idle_s
        if due is not None:
            seconds = min(seconds, (due - self._now()).total_seconds())
        try:
            async with asyncio.timeout(max(seconds, SHORTEST_PAUSE_S)):
                await self._woken.wait()
        except TimeoutError:
            return
