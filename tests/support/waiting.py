import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

STEP_S = 0.01
PATIENT_S = 30.0
"""How long a condition may take to hold before the test fails: as much as a busy machine needs."""


def wait_until(
    holds: Callable[[], object], *, patience_s: float = PATIENT_S, what: str = ""
) -> None:
    """Return as soon as `holds()` is true; fail when it is not within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what or holds}")
        time.sleep(0.01)


async def eventually(
    holds: Callable[[], Awaitable[object]], *, patience_s: float = PATIENT_S, what: str = ""
) -> None:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + patience_s
    while not await holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what or holds}")
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], Awaitable[Any]], patience_s: float = PATIENT_S) -> Any:
    """Wait until a condition holds and return what it said; AssertionError when it never does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        found = await condition()
        if found:
            return found
        if loop.time() > deadline:
            raise AssertionError(f"{condition.__name__} did not hold within {patience_s} s")
        await asyncio.sleep(STEP_S)
