"""Applies events to the projections of one partition: effects and positions in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.runtime.database import Connection
from services.ledger.projections import entries, fees, grants, requests, usage
from services.ledger.projections.entries import Data
from services.ledger.projections.requests import Request
from services.ledger.statements import load

SQL = load("projections.sql")
NAMES = (requests.NAME, entries.NAME, grants.NAME, usage.NAME, fees.NAME)
"""In the order they are written: others take key and operation from the request's row."""


class MovedByAnotherError(RuntimeError):
    """A projection's position is not where this process left it: another one follows it too."""

    def __init__(self, projection: str, partition: int, position: int) -> None:
        super().__init__(f"{projection} of partition {partition} is not at {position} any more")


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
        async with self.connection.transaction():
            known = await self._known(new[requests.NAME], new[usage.NAME])
            await self._save("requests", _receipts(new[requests.NAME], known))
            await self._save("entries", [x for e in new[entries.NAME] for x in entries.lines(e)])
            await self._save("grants", await self._lots(new[grants.NAME]))
            await self._save("usage", await self._used(new[usage.NAME], known))
            await self._save("fees", [x for e in new[fees.NAME] for x in fees.lines(e)])
            for name in NAMES:
                await self._advance(name, to[name])
        self.at = to

    async def _known(self, ends: Iterable[Data], uses: Iterable[Data]) -> dict[str, Request]:
        """The rows of the reservations that these events name, but for those opened here."""
        named = {requests.subject(event) for event in ends} | set(map(usage.subject, uses))
        opened = {requests.subject(e) for e in ends if e["type"] == "CreditsReserved"}
        return await self._rows(res for res in named - opened if res is not None)

    async def _lots(self, events: Sequence[Data]) -> list[tuple[Any, ...]]:
        """The final row of each grant that these events touch."""
        keys = {key for event in events for key in grants.touched(event)}
        if not keys:
            return []
        found = await self.connection.fetch(SQL["grants_by_key"], *columns(list(keys)))
        rows = {(row["account_id"].hex, row["grant_no"]): grants.Grant(*row) for row in found}
        for event in events:
            grants.apply(rows, event)
        return list(rows.values())

    async def _used(
        self, events: Iterable[Data], known: Mapping[str, Request]
    ) -> list[tuple[Any, ...]]:
        """The final row of each day and key in which these events count."""
        named = [(usage.subject(event), event) for event in events]
        counts = [(usage.key_of(e, _of(known, res)), e) for res, e in named if res is not None]
        if not counts:
            return []
        keys = list({key for key, _ in counts})
        found = await self.connection.fetch(SQL["usage_by_key"], *columns(keys))
        rows = {key: usage.Usage(*key, *row[5:]) for row in found if (key := _use_key(tuple(row)))}
        for key, event in counts:
            usage.apply(rows, key, event)
        return list(rows.values())

    async def _save(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            await self.connection.execute(SQL[f"save_{name}"], *columns(rows))

    async def _rows(self, ids: Iterable[str]) -> dict[str, Request]:
        found = await self.connection.fetch(SQL["requests_by_id"], list(ids))
        return {
            row["reservation_id"].hex: Request(*row)._replace(key_id=row["key_id"].hex)
            for row in found
        }

    async def _advance(self, name: str, to: int) -> None:
        at = self.at[name]
        moved = await self.connection.fetchval(SQL["advance"], name, self.partition, at, to)
        if moved is None:
            raise MovedByAnotherError(name, self.partition, at)


def _receipts(events: Iterable[Data], known: dict[str, Request]) -> list[Request]:
    """The final row of each reservation that these events change; `known` has it too."""
    changed = {}
    for event in events:
        res = requests.subject(event)
        if res is not None:
            changed[res] = known[res] = requests.apply(known.get(res), event)
    return list(changed.values())


def _of(known: Mapping[str, Request], res: str) -> Request:
    if res not in known:
        raise requests.UnknownRequest(res)
    return known[res]


def _use_key(row: Sequence[Any]) -> usage.Key:
    return (row[0].hex, row[1], row[2].hex, row[3], row[4])


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of equal length as columns, the form that unnest takes."""
    return list(zip(*rows, strict=True))
