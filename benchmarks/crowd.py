"""Callers on one connection, each of whom asks again as soon as it is answered.

A task and a future for each call would cost more than what is measured: load shares the cores with
it, as pgbench does, which is a C program. So a call here is a number that its reply subject ends
in, and whoever is answered by one reading of the connection asks anew in one write.
"""

import asyncio
import time
from collections.abc import Callable

from farebox.bench.wire import Wire

Ask = Callable[[], tuple[bytes, bytes]]
"""Makes the next command: its subject and its bytes."""


class Unwanted(Exception):
    """An answer that must not count."""


class Crowd(Wire):
    """`run` once; before and after it is a plain Wire."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self._call = 0
        self._next_calls: list[bytes] = []
        self._asked: dict[int, float] = {}
        self._done: asyncio.Future[None] | None = None

    async def run(self, callers: int, seconds: float, ask: Ask, wanted: bytes) -> list[float]:
        """Have so many callers ask for so long; the times of all answers, in seconds.

        Raises Unwanted when an answer does not contain `wanted`, or nobody waits for it.
        """
        self._ask, self._wanted, self._running = ask, wanted, callers
        self._times: list[float] = []
        self._done = asyncio.get_running_loop().create_future()
        self._until = time.perf_counter() + seconds
        self._transport.write(b"".join([self._next() for _ in range(callers)]))
        await self._done
        return self._times

    def _next(self) -> bytes:
        subject, raw = self._ask()
        self._call += 1
        self._asked[self._call] = time.perf_counter()
        return b"PUB %b %b.%d %d\r\n%b\r\n" % (subject, self.inbox, self._call, len(raw), raw)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._next_calls:
            self._transport.write(b"".join(self._next_calls))
            self._next_calls.clear()

    def delivered(self, fields: list[bytes], message: bytes) -> None:
        """Note one answer, with its headers, and what is asked next, which may be nothing."""
        if self._done is None or self._done.done():
            super().delivered(fields, message)
            return
        began = self._asked.pop(int(fields[1][len(self.inbox) + 1 :]), None)
        now = time.perf_counter()
        if began is None or self._wanted not in message:
            self._fail(Unwanted(f"not asked for, or not wanted: {message.decode()}"))
            return
        self._times.append(now - began)
        if now < self._until:
            self._next_calls.append(self._next())
        else:
            self._left()

    def _left(self) -> None:
        self._running -= 1
        if not self._running and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
