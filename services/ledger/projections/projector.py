"""Applies events to the projections of one partition: effects and positions in one transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from libs.runtime.database import Connection
from services.ledger.projections import entries, requests
from services.ledger.projections.entries import Data, Entry
from services.ledger.projections.requests import Request
from services.ledger.statements import load

SQL = load("projections.sql")
NAMES = (requests.NAME, entries.NAME)
"""In the order they are written: an entry takes its key and operation from the request's row."""


class MovedByAnotherError(RuntimeError):
    """A projection's position is not where this process left it: another one follows it too."""

    def __init__(self, projection: str, partition: int, position: int) -> None:
        super().__init__(f"{projection} of partition {partition} is not at {position} any more")


class Effects(NamedTuple):
    """What a run of events does to the tables."""

    lines: list[Entry]
    rows: list[Request]


class Projector:
    """The projections of one partition. Its connection finds the tables by its search_path."""

    def __init__(self, connection: Connection, partition: int) -> None:
        self.connection = connection
        self.partition = partition
        self.at: dict[str, int] = {}

    @property
    def position(self) -> int:
        """The last event that every projection has seen."""
        return min(self.at.values())

    async def begin(self) -> None:
        """Read how far the projections are; a new one begins before the first event."""
        await self.connection.execute(SQL["begin_positions"], NAMES, self.partition)
        rows = await self.connection.fetch(SQL["positions"], self.partition)
        self.at = {row["projection"]: row["position"] for row in rows if row["projection"] in NAMES}

    async def apply(self, events: Sequence[Data], up_to: int) -> None:
        """Apply events (decoded bodies, in order) and move every projection to `up_to`.

        A projection that is already past an event does not see it again.

        Raises:
            UnknownRequest: an event of a reservation that has no row.
            MovedByAnotherError: the positions in the table are not ours.
            asyncpg.PostgresError: nothing was written.
        """
        to = {name: max(at, up_to) for name, at in self.at.items()}
        new = {
            name: [event for event in events if self.at[name] < event["position"] <= to[name]]
            for name in NAMES
        }
        lines = [line for event in new[entries.NAME] for line in entries.lines(event)]
        async with self.connection.transaction():
            rows = await self._folded(new[requests.NAME])
            if rows:
                await self.connection.execute(SQL["save_requests"], *columns(rows))
            if lines:
                await self.connection.execute(SQL["save_entries"], *columns(lines))
            for name in NAMES:
                await self._advance(name, to[name])
        self.at = to

    async def _folded(self, events: Iterable[Data]) -> list[Request]:
        """The final row of each reservation that these events change."""
        named = [(requests.subject(event), event) for event in events]
        opened = {res for res, event in named if event["type"] == "CreditsReserved"}
        rows = await self._rows({res for res, _ in named if res is not None} - opened)
        changed: dict[str, Request] = {}
        for res, event in named:
            if res is not None:
                changed[res] = requests.apply(changed.get(res) or rows.get(res), event)
        return list(changed.values())

    async def _rows(self, ids: Iterable[str]) -> dict[str, Request]:
        found = await self.connection.fetch(SQL["requests_by_id"], list(ids))
        return {row["reservation_id"].hex: Request(*row) for row in found}

    async def _advance(self, name: str, to: int) -> None:
        at = self.at[name]
        moved = await self.connection.fetchval(SQL["advance"], name, self.partition, at, to)
        if moved is None:
            raise MovedByAnotherError(name, self.partition, at)


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of equal length as columns, the form that unnest takes."""
    return list(zip(*rows, strict=True))
