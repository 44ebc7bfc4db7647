"""How far a service has followed each partition, stored beside the effects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.runtime.database import Connection


class Incarnation(NamedTuple):
    """One life of a partition's log.

    From `first_position` on it may hold other events than the lives before it: those were lost
    when an older database took their place.
    """

    number: int
    first_position: int


@dataclass(frozen=True, slots=True)
class Place:
    """The last position that was followed, and of which incarnation; (1, 0) before any."""

    incarnation: int = 1
    position: int = 0

    def within(self, later: Sequence[Incarnation]) -> "Place":
        """The place from which the log as it is now, with these incarnations, is to be followed.

        Where an event may have been taken back since, the events that took its place come next.
        """
        newer = [life for life in later if life.number > self.incarnation]
        if not newer:
            return self
        shared = min(life.first_position for life in newer) - 1
        return Place(max(life.number for life in newer), min(self.position, shared))


class Positions:
    """The table ``<schema>.positions (partition, incarnation, position)``, one row a partition."""

    def __init__(self, schema: str) -> None:
        if not schema.isidentifier():
            raise ValueError(f"not the name of a schema: {schema!r}")
        table = f"{schema}.positions"
        self._read = f"select incarnation, position from {table} where partition = $1"  # noqa: S608
        self._write = (
            f"insert into {table} (partition, incarnation, position) values ($1, $2, $3) "  # noqa: S608
            "on conflict (partition) do update "
            "set incarnation = excluded.incarnation, position = excluded.position"
        )

    async def read(self, connection: Connection, partition: int) -> Place:
        """Return the stored place of a partition."""
        row = await connection.fetchrow(self._read, partition)
        return Place() if row is None else Place(row["incarnation"], row["position"])

    async def write(self, connection: Connection, partition: int, place: Place) -> None:
        """Store a place, in the caller's transaction when there is one."""
        await connection.execute(self._write, partition, place.incarnation, place.position)
