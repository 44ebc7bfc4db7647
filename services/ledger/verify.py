"""Proves the ledger's tables against its log: one pass over all events, then the tables.

Reads Postgres only (role farebox_auditor), in one snapshot, so it may run beside everything else
or when everything else is down.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

from libs.runtime.database import Connection
from services.ledger.checks.commands import check_command_count, check_commands
from services.ledger.checks.fees import check_fees, check_no_fees_after
from services.ledger.checks.log import LogCheck
from services.ledger.checks.lots import check_lots, check_refunds
from services.ledger.checks.reading import (
    Progress,
    Reading,
    collector_off,
    hold_projections,
    installed_partitions,
)
from services.ledger.checks.report import Difference, Differences
from services.ledger.checks.shadow import KEYS, Shadow, make_shadows
from services.ledger.checks.tables import (
    check_accounts,
    check_keys,
    check_published,
    check_reservations,
)
from services.ledger.invariants import INVARIANTS

STRANGERS = """
select distinct name, partition from (
  select 'ledger.events' as name, partition from ledger.events
  union all select 'ledger.accounts', partition from ledger.accounts
  union all select 'ledger.reservations', partition from ledger.reservations
  union all select 'ledger.api_keys', partition from ledger.api_keys
  union all select 'ledger.fee_entries', partition from ledger.fee_entries
  union all select 'ledger.published', partition from ledger.published
  union all select 'ledger.granted', partition from ledger.granted
  union all select 'ledger.refunded', partition from ledger.refunded
  union all select 'ledger.entries', partition from ledger.entries
  union all select 'ledger.requests', partition from ledger.requests
  union all select 'ledger.grants', partition from ledger.grants
  union all select 'ledger.usage_daily', partition from ledger.usage_daily
  union all select 'ledger.fees', partition from ledger.fees
) as rows where partition < 0 or partition >= $1
"""

CHECKS = (check_accounts, check_reservations, check_keys, check_published)

PROJECTED = "projections_equal_replay"
NOT_OF_THE_LOG = "no_overdue_reservation"
"""A question of the clock: the log cannot tell what should have happened by now."""


class Report(NamedTuple):
    """What was checked and what was found; amounts in nanos."""

    differences: list[Difference]
    difference_count: int
    invariants: dict[str, int]
    """Of each invariant that was checked, how many differences there are."""
    tables: dict[str, int]
    """The tables with differences, and how many."""
    positions: dict[int, int]
    """Of each partition, the last position that was checked."""
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
    positions: dict[int, int] = {}
    snapshot = connection.transaction(isolation="repeatable_read")
    with collector_off():
        async with snapshot:
            async for part in _parts(connection, differences, tell, projections=projections):
                totals.update(part.totals())
                positions[part.log.partition] = part.log.position
                for (unit, name), amount in part.log.fold.books.items():
                    books.setdefault(unit, Counter())[name] += amount
            if projections:
                await check_command_count(connection, totals["events"], differences)
    return Report(
        differences=differences.listed,
        difference_count=differences.count,
        invariants={
            name: differences.by_invariant[name]
            for name in INVARIANTS
            if name != NOT_OF_THE_LOG and (projections or name != PROJECTED)
        },
        tables=dict(differences.by_table),
        positions=positions,
        events=totals["events"],
        accounts=totals["accounts"],
        open_reservations=totals["open_reservations"],
        keys=totals["keys"],
        projected={name: totals[name] for name in KEYS},
        books={unit: dict(sorted(lines.items())) for unit, lines in sorted(books.items())},
        seconds=time.monotonic() - started,
        log_seconds=totals["log_nanoseconds"] / 10**9,
    )


async def _parts(
    connection: Connection, differences: Differences, tell: Progress, *, projections: bool
) -> "AsyncIterator[Part]":
    """Verify one partition after the other; each is forgotten before the next."""
    await hold_projections(connection)
    partitions = await installed_partitions(connection)
    if projections:
        await make_shadows(connection)
    await _strangers(connection, partitions, differences)
    for partition in range(partitions):
        shadow = Shadow(connection, partition, differences) if projections else None
        part = Part(connection, LogCheck(partition, partitions, differences), shadow, tell)
        await part.verify(differences)
        yield part


async def _strangers(connection: Connection, partitions: int, differences: Differences) -> None:
    """Rows of partitions that this installation does not have."""
    for table, partition in await connection.fetch(STRANGERS, partitions):
        row = f"partition {partition}"
        differences.add(table, row, "partition", partition, f"0 to {partitions - 1}")


class Part:
    """The verification of one partition."""

    def __init__(
        self, connection: Connection, log: LogCheck, shadow: Shadow | None, tell: Progress
    ) -> None:
        self.connection = connection
        self.log = log
        self.shadow = shadow
        self.reading = Reading(connection, log, tell)

    async def verify(self, differences: Differences) -> None:
        log = self.log
        if self.shadow is not None:
            await self.shadow.begin()
        await self._fold(differences)
        for check in (*CHECKS, check_lots, check_refunds):
            await check(self.connection, log.partition, log.fold, differences)
        if self.shadow is not None:
            await check_no_fees_after(self.connection, log.partition, log.position, differences)
            await self.shadow.compare(log.fold, log.position)
        log.invariants.finish()

    def totals(self) -> dict[str, int]:
        fold = self.log.fold
        return {
            "events": self.reading.events,
            "accounts": sum(account.unit is not None for account in fold.accounts.values()),
            "open_reservations": len(fold.holds),
            "keys": len(fold.keys),
            "log_nanoseconds": self.reading.log_ns,
            **(self.shadow.live if self.shadow else {}),
        }

    async def _fold(self, differences: Differences) -> None:
        partition = self.log.partition
        async for events, first, last in self.reading.runs():
            if self.shadow is not None:
                await check_commands(self.connection, events, differences)
                await check_fees(self.connection, partition, events, (first, last), differences)
                await self.shadow.apply(events, last)
