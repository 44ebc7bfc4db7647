"""Tasks that have to end: told until they have heard.

A cancellation that comes together with what a task waits for is lost in asyncio.wait_for of
Python 3.11 (CPython issue 86296), and so in every request of nats-py; one whose clean-up fails
can lose it in that failure. Cancelling once and waiting may then wait for ever.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 1.0
"""How soon tasks that have not ended are told again, each time twice as late."""


async def end(
    *tasks: asyncio.Task[Any], within_s: float = math.inf
) -> Collection[asyncio.Task[Any]]:
    """Cancel tasks again and again until each has ended; those that resist so many seconds.

    Failures stay in the tasks. A clean-up that takes longer than ``FIRST_PAUSE_S`` is interrupted.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + within_s, FIRST_PAUSE_S
    left: Collection[asyncio.Task[Any]] = [task for task in tasks if not task.done()]
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
        if loop.time() > deadline:
            break
    return left


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run ``work`` in a task of its own for as long as the block lasts, and no longer."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await end(task)
