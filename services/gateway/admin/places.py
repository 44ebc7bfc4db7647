"""Lists over all partitions: one after the other, as one list."""

from typing import Any

from services.gateway.ledger_calls import Ledger

Place = tuple[int, str | None]
"""A partition, and the `after` of its next page."""


async def across(
    ledger: Ledger, partitions: int, name: str, rows: str, place: Place, limit: int
) -> tuple[list[dict[str, Any]], Place | None]:
    """Up to `limit` rows of a query from a place on, and the place where the next page begins."""
    partition, after = place
    found: list[dict[str, Any]] = []
    while partition < partitions:
        question: dict[str, Any] = {"limit": limit - len(found)}
        if after is not None:
            question["after"] = after
        data = (await ledger.query(name, question, partition=partition))["data"]
        found += data[rows]
        partition, after = (partition, data["next"]) if data["next"] else (partition + 1, None)
        if len(found) >= limit or after is not None:
            break
    return found, (partition, after) if partition < partitions else None
