"""`farebox audit rebuild`: has a projection made anew, and watches until it is."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from farebox.audit_access import READER, AuditError, address, run
from libs.runtime.database import Connection
from services.ledger.checks.reading import installed_partitions
from services.ledger.rebuild import InUseError, empty, standing

LOOK_EVERY_S = 0.2
TELL_EVERY_S = 2.0
STUCK_S = 20.0
"""Without any progress for so long, nobody follows the log."""


def rebuild(
    name: str, database_url: str, data: Path, tell: Callable[[str], None], *, wait: bool
) -> int:
    """Empty a projection; with `wait`, return when the reader has filled it again.

    Returns the events it has seen then. Raises AuditError.
    """

    async def work(connection: Connection) -> int:
        await installed_partitions(connection)
        await empty(connection, name)
        tell(f"ledger.{name} is empty, the reader makes it anew")
        return await _filled(connection, name, tell) if wait else 0

    try:
        return run(address(database_url, data, READER), work)
    except (InUseError, ValueError) as error:
        raise AuditError(str(error)) from error


async def _filled(connection: Connection, name: str, tell: Callable[[str], None]) -> int:
    """Wait until it has seen every event that there is now; more may arrive meanwhile."""
    wanted = (await standing(connection, name)).events
    started = told = moved = time.monotonic()
    before = 0
    while (seen := (await standing(connection, name)).seen) < wanted:
        now = time.monotonic()
        if seen != before:
            before, moved = seen, now
        if now - moved > STUCK_S:
            raise AuditError(
                f"{name} stands at {seen:,} of {wanted:,} events: no reader follows the log; "
                "start one (`farebox serve reader`) and it goes on by itself"
            )
        if now - told > TELL_EVERY_S:
            told, rate = now, seen / (now - started)
            tell(f"{name}: {seen:,} of {wanted:,} events, {rate:,.0f} a second")
        await asyncio.sleep(LOOK_EVERY_S)
    return seen
