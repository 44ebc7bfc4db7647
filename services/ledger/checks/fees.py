"""The fee ledger: one row for each event that accrues a fee or gives one back (PRC-3)."""

from collections.abc import Sequence
from typing import Any

from libs.runtime.database import Connection
from services.ledger.checks.report import Differences
from services.ledger.projections.entries import Data

TABLE = "ledger.fee_entries"
ROWS = """
select position, account_id, reservation_id, currency, minor, schedule from ledger.fee_entries
where partition = $1 and position between $2 and $3
"""
BEYOND = "select position from ledger.fee_entries where partition = $1 and position > $2 limit 1"
COLUMNS = ("account_id", "reservation_id", "currency", "minor", "schedule")


async def check_fees(
    connection: Connection,
    partition: int,
    events: Sequence[Data],
    within: tuple[int, int],
    differences: Differences,
) -> None:
    """Compare the rows of a run of positions with what its events say."""
    expected = {event["position"]: fee for event in events if (fee := _fee(event))}
    for row in await connection.fetch(ROWS, partition, *within):
        position = row["position"]
        stored = (row["account_id"].hex, row["reservation_id"].hex, *row[3:])
        computed = expected.pop(position, None)
        name = f"{partition}:{position}"
        if computed is None:
            differences.add(TABLE, name, "position", position, None)
            continue
        for column, left, right in zip(COLUMNS, stored, computed, strict=True):
            if left != right:
                differences.add(TABLE, name, column, left, right)
    for position in expected:
        differences.add(TABLE, f"{partition}:{position}", "position", None, position)


async def check_no_fees_after(
    connection: Connection, partition: int, log_end: int, differences: Differences
) -> None:
    beyond = await connection.fetchval(BEYOND, partition, log_end)
    if beyond is not None:
        differences.add(TABLE, f"{partition}:{beyond}", "position", beyond, f"≤ {log_end}")


def _fee(event: Data) -> tuple[Any, ...] | None:
    data = event["data"]
    fee, sign = data.get("fee"), 1
    if not fee:
        fee, sign = data.get("fee_reversed"), -1
    if not fee:
        return None
    account, res = event["account_id"][-32:], data["res"][-32:]
    return (account, res, fee["currency"], sign * fee["minor"], fee["schedule"])
