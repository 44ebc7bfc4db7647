"""Reading from the ledger what its stream no longer holds."""

from collections.abc import Awaitable, Callable, Sequence

from libs.runtime.command_client import CommandClient
from libs.runtime.positions import Incarnation

FetchGap = Callable[[int, int], Awaitable[Sequence[tuple[int, bytes]]]]
"""(first, last) → events from ``first`` on, (position, canonical bytes), as many as come at once;
none after ``last``."""

FetchIncarnations = Callable[[], Awaitable[Sequence[Incarnation]]]
"""The lives of a partition's log after its first; the oldest comes first."""

MOST = 500
"""Events the ledger gives in one answer."""


def gap_reader(client: CommandClient, partition: int) -> FetchGap:
    """Return what reads a partition's events out of the log by query."""

    async def fetch(first: int, last: int) -> Sequence[tuple[int, bytes]]:
        limit = min(MOST, last - first + 1)
        answer = await client.query("events", {"from": first, "limit": limit}, partition=partition)
        return [(event["position"], event["body"].encode()) for event in answer["data"]["events"]]

    return fetch


def incarnation_reader(client: CommandClient, partition: int) -> FetchIncarnations:
    """Return what asks the ledger how often a partition's history was restored."""

    async def fetch() -> Sequence[Incarnation]:
        answer = await client.query("installation", {}, partition=partition)
        lives = answer["data"]["incarnations"]
        return [Incarnation(life["incarnation"], life["first_position"]) for life in lives]

    return fetch
