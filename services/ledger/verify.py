"""Proves the ledger's tables against its log: one pass over all events, then the tables.

Reads Postgres only (role farebox_auditor), in one snapshot, so it may run beside everything else
or when everything else is down.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from libs.runtime.database import Connection
from services.ledger.checks.log import LogCheck
from services.ledger.checks.report import Difference, Differences
from services.ledger.checks.shadow import Shadow, make_shadows
from services.ledger.checks.tables import check_accounts, check_keys, check_reservations

CHUNK = 5000
TELL_EVERY_S = 2.0

EVENTS = """
select position, account_id, version, type, body, hash from ledger.events
where partition = $1 order by position
"""
STRANGERS = """
select distinct name, partition from (
  select 'ledger.events' as name, partition from ledger.events
  union all select 'ledger.accounts', partition from ledger.accounts
  union all select 'ledger.reservations', partition from ledger.reservations
  union all select 'ledger.api_keys', partition from ledger.api_keys
  union all select 'ledger.entries', partition from ledger.entries
  union all select 'ledger.requests', partition from ledger.requests
) as rows where partition < 0 or partition >= $1
"""
FOLDING = "set local search_path = ledger; set local work_mem = '64MB';"
POINT_LOOKUPS = """
set local enable_seqscan = {0}; set local enable_hashjoin = {0}; set local enable_mergejoin = {0};
"""

Progress = Callable[[str], None]


class NotInstalledError(RuntimeError):
    """The database has no ledger, or this role may not read it."""


class Report(NamedTuple):
    """What was checked and what was found; amounts in nanos."""

    differences: list[Difference]
    difference_count: int
    events: int
    accounts: int
    open_reservations: int
    keys: int
    projected: dict[str, int]
    """Events that each projection has seen, over all partitions."""
    books: dict[str, dict[str, int]]
    """Per unit: the sum of all postings of each account of the books; they sum to zero."""
    seconds: float

    @property
    def ok(self) -> bool:
        return self.difference_count == 0


async def verify(connection: Connection, tell: Progress) -> Report:
    """Check everything in one snapshot. `tell` gets a line now and then. NotInstalledError."""
    differences, started = Differences(), time.monotonic()
    parts: list[Part] = []
    async with connection.transaction(isolation="repeatable_read"):
        partitions = await _partitions(connection)
        await connection.execute(FOLDING)
        await make_shadows(connection)
        await _strangers(connection, partitions, differences)
        for partition in range(partitions):
            part = Part(connection, partition, partitions, differences)
            await part.verify(tell)
            parts.append(part)
    return _report(parts, differences, time.monotonic() - started)


async def _partitions(connection: Connection) -> int:
    try:
        found = await connection.fetchval("select partitions from ledger.installation")
    except (
        asyncpg.UndefinedTableError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise NotInstalledError(str(error)) from error
    if found is None:
        raise NotInstalledError("ledger.installation is empty")
    return int(found)


async def _strangers(connection: Connection, partitions: int, differences: Differences) -> None:
    """Rows of partitions that this installation does not have."""
    for table, partition in await connection.fetch(STRANGERS, partitions):
        row = f"partition {partition}"
        differences.add(table, row, "partition", partition, f"0 to {partitions - 1}")


class Part:
    """The verification of one partition."""

    def __init__(
        self,
        connection: Connection,
        partition: int,
        partitions: int,
        differences: Differences,
    ) -> None:
        self.connection = connection
        self.partition = partition
        self.log = LogCheck(partition, partitions, differences)
        self.shadow = Shadow(connection, partition, differences)
        self.events = 0
        self._differences = differences

    async def verify(self, tell: Progress) -> None:
        await self.connection.execute(POINT_LOOKUPS.format("off"))
        await self.shadow.begin()
        await self._fold(tell)
        await self.connection.execute(POINT_LOOKUPS.format("on"))
        for check in (check_accounts, check_reservations, check_keys):
            await check(self.connection, self.partition, self.log.fold, self._differences)
        await self.shadow.compare(self.log.fold, self.log.position)
        self._balance_books()

    async def _fold(self, tell: Progress) -> None:
        cursor = await self.connection.cursor(EVENTS, self.partition)
        started = told = time.monotonic()
        check = self.log.check
        while rows := await cursor.fetch(CHUNK):
            bodies = [check(row) for row in rows]
            await self.shadow.apply([b for b in bodies if b is not None], self.log.position)
            self.events += len(rows)
            now = time.monotonic()
            if now - told > TELL_EVERY_S:
                told = now
                rate = self.events / (now - started)
                tell(f"partition {self.partition}: {self.events:,} events, {rate:,.0f} a second")

    def _balance_books(self) -> None:
        """Nothing was made and nothing was lost, over all events of the partition."""
        fold = self.log.fold
        sums: Counter[str] = Counter()
        held: Counter[tuple[str, str]] = Counter()
        for (unit, _), amount in fold.books.items():
            sums[unit] += amount
        for account in fold.accounts.values():
            unit = account.unit or ""
            held[unit, "available"] += account.available
            held[unit, "reserved"] += account.reserved
        for unit, amount in sums.items():
            if amount:
                self._differences.add("postings", unit, "sum", amount, 0)
        for key, amount in held.items():
            if fold.books.get(key, 0) != amount:
                unit, name = key
                self._differences.add("postings", unit, name, fold.books.get(key, 0), amount)


def _report(parts: list[Part], differences: Differences, seconds: float) -> Report:
    books: dict[str, Counter[str]] = {}
    for part in parts:
        for (unit, name), amount in part.log.fold.books.items():
            books.setdefault(unit, Counter())[name] += amount
    projected: Counter[str] = Counter()
    for part in parts:
        projected.update(part.shadow.live)
    folds = [part.log.fold for part in parts]
    return Report(
        differences=differences.listed,
        difference_count=differences.count,
        events=sum(part.events for part in parts),
        accounts=sum(a.unit is not None for fold in folds for a in fold.accounts.values()),
        open_reservations=sum(len(fold.holds) for fold in folds),
        keys=sum(len(fold.keys) for fold in folds),
        projected=dict(projected),
        books={unit: dict(sorted(lines.items())) for unit, lines in sorted(books.items())},
        seconds=seconds,
    )
