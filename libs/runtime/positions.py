"""How far a service has followed each partition, stored beside the effects."""

from dataclasses import dataclass

from libs.runtime.database import Connection


@dataclass(frozen=True, slots=True)
class Place:
    """The last event that was followed: its incarnation and position; (1, 0) before any."""

    incarnation: int = 1
    position: int = 0


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
