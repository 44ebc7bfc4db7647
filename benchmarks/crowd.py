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


class Void(Exception):
    """An answer that must not count."""


class Crowd(Wire):
    """`run` once; until then, and for all that is no answer to a caller, it is a plain Wire."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self._mine = b"MSG %b." % self.inbox, b"HMSG %b." % self.inbox
        self._rest = b""
        self._call = 0
        self._asked: dict[int, float] = {}
        self._done: asyncio.Future[None] | None = None

    async def run(self, callers: int, seconds: float, ask: Ask, wanted: bytes) -> list[float]:
        """Have so many callers ask for so long; the times of all answers, in seconds.

        Raises Void when an answer does not contain `wanted`, or nobody waits for it.
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
        if self._done is None or self._done.done():
            super().data_received(data)
            return
        buffer, at, asked = self._rest + data, 0, []
        while (end := buffer.find(b"\r\n", at)) >= 0:
            line = buffer[at:end]
            if line.startswith(self._mine):
                after = end + 4 + int(line[line.rindex(b" ") :])
                if len(buffer) < after:
                    break
                asked.append(self._answered(line, buffer[end:after]))
                at = after
            else:
                super().data_received(line + b"\r\n")
                at = end + 2
        self._rest = buffer[at:]
        self._transport.write(b"".join(asked))

    def _answered(self, line: bytes, answer: bytes) -> bytes:
        """Note one answer, with its headers; what is asked next, which may be nothing."""
        began = self._asked.pop(int(line.split(b" ", 2)[1][len(self.inbox) + 1 :]), None)
        now = time.perf_counter()
        if began is None or self._wanted not in answer:
            self._fail(Void(f"not asked for, or not wanted: {answer.decode()}"))
            return b""
        self._times.append(now - began)
        if now < self._until:
            return self._next()
        self._left()
        return b""

    def _left(self) -> None:
        self._running -= 1
        if not self._running and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
