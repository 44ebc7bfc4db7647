"""Proves the ledger's tables against its log: one pass over all events, then the tables.

Reads Postgres only (role farebox_auditor), in one snapshot, so it may run beside everything else
or when everything else is down.
"""

import contextlib
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import asyncpg

from libs.runtime.database import Connection
from services.ledger.checks.commands import check_command_count, check_commands
from services.ledger.checks.fees import check_fees, check_no_fees_after
from services.ledger.checks.log import LogCheck
from services.ledger.checks.report import Difference, Differences
from services.ledger.checks.shadow import KEYS, Shadow, make_shadows
from services.ledger.checks.tables import check_accounts, check_keys, check_reservations
from services.ledger.replay import Fold

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
  union all select 'ledger.fee_entries', partition from ledger.fee_entries
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
    log_seconds: float
    """Of these, reading, checking and folding the log: the rest is comparing tables."""

    @property
    def ok(self) -> bool:
        return self.difference_count == 0


async def verify(connection: Connection, tell: Progress, *, projections: bool = True) -> Report:
    """Check everything in one snapshot.

    Without `projections` the statement, the receipts and the rows of commands and fees are left
    out, which take most of the time. `tell` gets a line now and then. Raises NotInstalledError.
    """
    differences, started = Differences(), time.monotonic()
    totals: Counter[str] = Counter()
    books: dict[str, Counter[str]] = {}
    snapshot = connection.transaction(isolation="repeatable_read")
    with collector_off():
        async with snapshot:
            async for part in _parts(connection, differences, tell, projections=projections):
                totals.update(part.totals())
                for (unit, name), amount in part.log.fold.books.items():
                    books.setdefault(unit, Counter())[name] += amount
            if projections:
                await check_command_count(connection, totals["events"], differences)
    return Report(
        differences=differences.listed,
        difference_count=differences.count,
        events=totals["events"],
        accounts=totals["accounts"],
        open_reservations=totals["open_reservations"],
        keys=totals["keys"],
        projected={name: totals[name] for name in KEYS},
        books={unit: dict(sorted(lines.items())) for unit, lines in sorted(books.items())},
        seconds=time.monotonic() - started,
        log_seconds=totals["log_nanoseconds"] / 10**9,
    )


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """The fold keeps much alive and makes no cycles: collecting would walk all of it for nothing.

    Measured: 11 instead of 18 us of CPU an event.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _parts(
    connection: Connection, differences: Differences, tell: Progress, *, projections: bool
) -> "AsyncIterator[Part]":
    """Verify one partition after the other; each is forgotten before the next."""
    partitions = await installed_partitions(connection)
    await connection.execute(FOLDING)
    if projections:
        await make_shadows(connection)
    await _strangers(connection, partitions, differences)
    for partition in range(partitions):
        shadow = Shadow(connection, partition, differences) if projections else None
        part = Part(connection, LogCheck(partition, partitions, differences), shadow)
        await part.verify(differences, tell)
        yield part


async def installed_partitions(connection: Connection) -> int:
    """The number of partitions of this database's ledger. Raises NotInstalledError."""
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

    def __init__(self, connection: Connection, log: LogCheck, shadow: Shadow | None) -> None:
        self.connection = connection
        self.log = log
        self.shadow = shadow
        self.events = 0
        self.log_ns = 0

    async def verify(self, differences: Differences, tell: Progress) -> None:
        log = self.log
        if self.shadow is not None:
            await self.connection.execute(POINT_LOOKUPS.format("off"))
            await self.shadow.begin()
        await self._fold(differences, tell)
        await self.connection.execute(POINT_LOOKUPS.format("on"))
        for check in (check_accounts, check_reservations, check_keys):
            await check(self.connection, log.partition, log.fold, differences)
        if self.shadow is not None:
            await check_no_fees_after(self.connection, log.partition, log.position, differences)
            await self.shadow.compare(log.fold, log.position)
        balance_books(log.fold, differences)

    def totals(self) -> dict[str, int]:
        fold = self.log.fold
        return {
            "events": self.events,
            "accounts": sum(account.unit is not None for account in fold.accounts.values()),
            "open_reservations": len(fold.holds),
            "keys": len(fold.keys),
            "log_nanoseconds": self.log_ns,
            **(self.shadow.live if self.shadow else {}),
        }

    async def _fold(self, differences: Differences, tell: Progress) -> None:
        cursor = await self.connection.cursor(EVENTS, self.log.partition)
        started = told = time.monotonic()
        while True:
            began = time.monotonic_ns()
            rows = await cursor.fetch(CHUNK)
            bodies = [self.log.check(row) for row in rows]
            self.log_ns += time.monotonic_ns() - began
            if not rows:
                break
            self.events += len(rows)
            if self.shadow is not None:
                events = [body for body in bodies if body is not None]
                await check_commands(self.connection, events, differences)
                within = (rows[0]["position"], self.log.position)
                await check_fees(self.connection, self.log.partition, events, within, differences)
                await self.shadow.apply(events, self.log.position)
            now = time.monotonic()
            if now - told > TELL_EVERY_S:
                told, rate = now, self.events / (now - started)
                where = f"partition {self.log.partition}"
                tell(f"{where}: {self.events:,} events, {rate:,.0f} a second")


def balance_books(fold: Fold, differences: Differences) -> None:
    """Nothing was made and nothing was lost, over all events of a partition."""
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
            differences.add("postings", unit, "sum", amount, 0)
    for (unit, name), amount in held.items():
        if fold.books.get((unit, name), 0) != amount:
            differences.add("postings", unit, name, fold.books.get((unit, name), 0), amount)
