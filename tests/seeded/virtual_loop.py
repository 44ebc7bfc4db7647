"""An event loop without a world: time jumps to the next timer, nothing else ever happens."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from typing import Any


class Stuck(RuntimeError):
    """Everybody waits and no timer runs: nothing can ever happen again."""


class Call:
    """A callback that waits for its turn or for its time."""

    __slots__ = ("args", "callback", "context", "time")

    def __init__(
        self, callback: Callable[..., Any], args: Any, context: Context | None, time: float
    ) -> None:
        self.callback: Callable[..., Any] | None = callback
        self.args = args
        self.context = context
        self.time = time

    def cancel(self) -> None:
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.time


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order of their virtual times; the same programme, the same order.

    Of asyncio's loop only what makes tasks and futures is left: the search spends its time in what
    it searches. A callback that fails ends the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self._soon: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._numbers = count()

    def time(self) -> float:
        return self.elapsed

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        call = Call(callback, args, context, self.elapsed)
        self._soon.append(call)
        return call

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        call = Call(callback, args, context, when)
        heappush(self._timers, (when, next(self._numbers), call))
        return call

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.elapsed + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """Run what is ready now; when nothing is, what has the earliest time."""
        soon, timers = self._soon, self._timers
        while timers and timers[0][2].callback is None:
            heappop(timers)
        if not soon:
            if not timers:
                raise Stuck("every task waits for another")
            self.elapsed = max(self.elapsed, timers[0][0])
        while timers and timers[0][0] <= self.elapsed:
            soon.append(heappop(timers)[2])
        for _ in range(len(soon)):
            call = soon.popleft()
            if call.callback is None:
                continue
            if call.context is None:
                call.callback(*call.args)
            else:
                call.context.run(call.callback, *call.args)


def run_virtually(main: Coroutine[Any, Any, Any], loop: VirtualLoop) -> Any:
    """Run to the end, cancel what is left, close the loop."""
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
