"""Reading from the ledger what its stream no longer holds."""

from collections.abc import Awaitable, Callable, Sequence

from libs.runtime.command_client import CommandClient

FetchGap = Callable[[int, int], Awaitable[Sequence[tuple[int, bytes]]]]
"""(first, last) → events from ``first`` on, (position, canonical bytes), as many as come at once;
none after ``last``."""

MOST = 500
"""Events the ledger gives in one answer."""


def gap_reader(client: CommandClient, partition: int) -> FetchGap:
    """Return what reads a partition's events out of the log by query."""

    async def fetch(first: int, last: int) -> Sequence[tuple[int, bytes]]:
        limit = min(MOST, last - first + 1)
        answer = await client.query("events", {"from": first, "limit": limit}, partition=partition)
        return [(event["position"], event["body"].encode()) for event in answer["data"]["events"]]

    return fetch
