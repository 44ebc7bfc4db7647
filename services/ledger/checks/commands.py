"""Every event belongs to a remembered command: what makes a repeated command harmless.

A command whose row is gone would be carried out a second time when it is repeated.
"""

from collections import defaultdict
from collections.abc import Sequence

from libs.events.ids import caller_bytes, stream_uuid
from libs.runtime.database import Connection
from services.ledger.checks.report import Differences
from services.ledger.projections.entries import Data

TABLE = "ledger.commands"
BY_CALLER = """
select caller_id, account_id, position, event_count from ledger.commands
where caller_id = any($1::uuid[])
"""
TOTAL = "select coalesce(sum(event_count), 0)::bigint from ledger.commands"


async def check_commands(
    connection: Connection, events: Sequence[Data], differences: Differences
) -> None:
    """Look up the command of each of these events."""
    callers = [caller_bytes(event["command_id"]).hex() for event in events]
    ranges: dict[tuple[str, str], list[range]] = defaultdict(list)
    for caller, account, position, count in await connection.fetch(BY_CALLER, callers):
        ranges[caller.hex, account.hex].append(range(position, position + count))
    for caller, event in zip(callers, events, strict=True):
        position = event["position"]
        known = ranges.get((caller, stream_uuid(event["account_id"]).hex), [])
        if not any(position in covered for covered in known):
            name = f"{event['account_id']} {event['command_id']}"
            stored = ", ".join(f"{r.start} to {r.stop - 1}" for r in known) or None
            differences.add(TABLE, name, "position", stored, position)


async def check_command_count(
    connection: Connection, events: int, differences: Differences
) -> None:
    """No row claims events that are not in the log."""
    total = await connection.fetchval(TOTAL)
    if total != events:
        differences.add(TABLE, "all rows", "sum of event_count", total, events)
