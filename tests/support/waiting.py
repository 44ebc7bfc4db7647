import asyncio
import time
from collections.abc import Awaitable, Callable


def wait_until(holds: Callable[[], object], *, patience_s: float = 10.0, what: str = "") -> None:
    """Return as soon as `holds()` is true; fail when it is not within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what or holds}")
        time.sleep(0.01)


async def eventually(
    holds: Callable[[], Awaitable[object]], *, patience_s: float = 10.0, what: str = ""
) -> None:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + patience_s
    while not await holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what or holds}")
        await asyncio.sleep(0.01)
