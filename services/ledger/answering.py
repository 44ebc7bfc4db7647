"""What all answers of the read side share: the tables, and the patience with a late projection."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from libs.runtime.clock import Clock
from libs.runtime.database import Connection, Pool
from services.ledger.rows import Row
from services.ledger.statements import load

SQL = load("queries.sql")

LOOK_AGAIN_S = 0.005


class QueryError(Exception):
    """A question that cannot be answered; `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Told(NamedTuple):
    """The data of an answer and the positions it is good for."""

    data: dict[str, Any]
    position: int
    as_of_position: int | None = None


class Answering:
    """Reads the tables for the questions about one installation.

    `nudge(partition)` asks the projections of this process to look at the log now.
    """

    def __init__(
        self,
        pool: "Pool | Connection",
        clock: Clock,
        *,
        partitions: int,
        wait_s: float,
        nudge: Callable[[int], None],
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._partitions = partitions
        self._wait_s = wait_s
        self._nudge = nudge

    async def _row(self, code: str, name: str, *arguments: object) -> Row:
        row: Row | None = await self._pool.fetchrow(SQL[name], *arguments)
        if row is None:
            raise QueryError(code, f"nothing of that name here ({code})")
        return row

    async def _log_end(self, p: int) -> int:
        return await self._pool.fetchval(SQL["log_end"], p) or 0

    async def _caught_up(self, p: int, account: UUID, projection: str) -> tuple[int, int, bool]:
        """Wait a moment until a projection knows all of an account: (log end, reached, late).

        So a caller reads what it wrote, through whichever process; when the projection is late
        the answer says how far it came.
        """
        deadline = self._clock.monotonic() + self._wait_s
        while True:
            row = await self._row("unknown_account", "standing", p, account, projection)
            late = row["reached"] < row["needed"]
            if not late or self._clock.monotonic() >= deadline:
                return row["log_end"], row["reached"], late
            self._nudge(p)
            await asyncio.sleep(LOOK_AGAIN_S)
