"""Callers that hold one nano and give it back or spend it, again and again, for a while."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from farebox.bench.access import BenchError
from farebox.bench.accounts import Account
from farebox.bench.commands import Endings, Reserves
from farebox.bench.histogram import Histogram
from farebox.bench.wire import NoResponders, Wire
from libs.runtime.ending import end

BUSY = b'"reply":"Busy"'
AGAIN_S = 0.05
SILENCE_S = 5.0
"""Without any answer for so long, the ledger is away."""
HOLD_S = 120

Tell = Callable[[int, int, Histogram], None]
"""Told (seconds since the beginning, answers of the last second, their times)."""


class Outcome(NamedTuple):
    """What was sent and answered. `charged` is in nanos; each command wrote one event."""

    seconds: float
    commands: int
    reserved: int
    charged: int
    busy: int
    times: Histogram


class Load:
    """One run of load; `run` may be called once."""

    def __init__(
        self, wire: Wire, accounts: Sequence[Account], deadline: datetime, catalogue: str
    ) -> None:
        self._wire = wire
        self._accounts = accounts
        self._reserves = Reserves(hold_s=HOLD_S, deadline=deadline, catalogue=catalogue)
        self._endings = Endings()
        self._all = Histogram()
        self._second = Histogram()
        self._reserved = self._charged = self._busy = 0
        self._until = 0.0

    async def run(self, callers: int, seconds: float, tell: Tell) -> Outcome:
        """Every reservation that was made is ended when it returns.

        Raises BenchError when a command is refused, or nothing is answered any more.
        """
        began = time.perf_counter()
        self._until = began + seconds
        working = [asyncio.create_task(self._caller()) for _ in range(callers)]
        watching = asyncio.create_task(self._watch(began, tell))
        try:
            await self._first_of(working, watching)
        finally:
            await end(*working, watching)
            await asyncio.gather(*working, watching, return_exceptions=True)
        self._all.merge(self._second)
        return Outcome(
            time.perf_counter() - began, self._all.total, self._reserved, self._charged,
            self._busy, self._all,
        )  # fmt: skip

    def end(self) -> None:
        """Let every caller end the reservation it has, and begin no other."""
        self._until = 0.0

    async def _first_of(
        self, working: "list[asyncio.Task[None]]", watching: "asyncio.Task[None]"
    ) -> None:
        """Return when all callers are done, or raise what the first of all raises."""
        running: set[asyncio.Task[None]] = {*working}
        while running:
            done, running = await asyncio.wait(
                {*running, watching}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            running.discard(watching)

    async def _caller(self) -> None:
        choose, endings, spend = random.choice, self._endings, True
        while time.perf_counter() < self._until:
            account = choose(self._accounts)
            raw, res = self._reserves.one(account.account_id, account.key_id)
            await self._send(account, raw, b'"reply":"Reserved"')
            self._reserved += 1
            if spend:
                ending = endings.settle(account.account_id, res)
                await self._send(account, ending, b'"reply":"Settled"')
                self._charged += 1
            else:
                ending = endings.release(account.account_id, res)
                await self._send(account, ending, b'"reply":"Released"')
            spend = not spend

    async def _send(self, account: Account, raw: bytes, wanted: bytes) -> None:
        """Send the same bytes until they are carried out; its time is that of all attempts."""
        began = time.perf_counter()
        while True:
            try:
                answer = await self._wire.request(account.subject, raw)
            except NoResponders:
                raise BenchError(
                    f"nobody leads partition {account.partition} any more: is the ledger running?"
                ) from None
            except (OSError, RuntimeError) as error:
                raise BenchError(f"NATS ended the connection: {error}") from error
            if wanted in answer:
                self._second.add(time.perf_counter() - began)
                return
            if BUSY not in answer:
                raise BenchError(f"{account.external_id} was refused: {answer.decode()}")
            self._busy += 1
            await asyncio.sleep(AGAIN_S)

    async def _watch(self, began: float, tell: Tell) -> None:
        """Tell each second; raises BenchError when no answer has come for long."""
        heard = began
        while True:
            await asyncio.sleep(1)
            second, self._second = self._second, Histogram()
            self._all.merge(second)
            now = time.perf_counter()
            tell(round(now - began), second.total, second)
            heard = now if second.total else heard
            if now - heard > SILENCE_S:
                raise BenchError(f"the ledger has answered nothing for {SILENCE_S:g} s")
