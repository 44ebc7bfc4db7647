"""Makes chosen tables anew from the log, beside the live ones, and reports every row that differs.

The statement and the receipts are folded by the projector itself into temporary tables; the tables
that the writer keeps are computed by the one fold. Nothing that is stored is changed.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from libs.runtime.database import Connection
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
from services.ledger.replay import Fold

Check = Callable[[Connection, int, Fold, Differences], Awaitable[None]]

INLINE: Mapping[str, Check] = {
    "accounts": check_accounts,
    "api_keys": check_keys,
    "reservations": check_reservations,
    "published": check_published,
    "granted": check_lots,
    "refunded": check_refunds,
}
FEES = "fee_entries"
NAMES = (*KEYS, *INLINE, FEES)
"""What can be made anew."""


class Replayed(NamedTuple):
    """What was made anew and where it differs from what is stored."""

    tables: list[str]
    differences: list[Difference]
    difference_count: int
    events: int
    projected: dict[str, int]
    """Events that each asynchronous projection among them has seen, over all partitions."""
    seconds: float

    @property
    def ok(self) -> bool:
        return self.difference_count == 0


async def replay(connection: Connection, names: Collection[str], tell: Progress) -> Replayed:
    """Make these tables (of `NAMES`) anew in one snapshot and compare them row by row.

    A damaged log is reported too: what is made from it proves nothing. Raises NotInstalledError.
    """
    differences, started = Differences(), time.monotonic()
    events, projected = 0, Counter[str]()
    with collector_off():
        async with connection.transaction(isolation="repeatable_read"):
            await hold_projections(connection)
            partitions = await installed_partitions(connection)
            shadows = KEYS.keys() & set(names)
            if shadows:
                await make_shadows(connection)
            for partition in range(partitions):
                log = LogCheck(partition, partitions, differences)
                reading = Reading(connection, log, tell)
                shadow = Shadow(connection, partition, differences, shadows) if shadows else None
                await _replay(reading, log, shadow, names, differences)
                events += reading.events
                projected.update({n: shadow.live[n] for n in shadows} if shadow else {})
    return Replayed(
        tables=[name for name in NAMES if name in names],
        differences=differences.listed,
        difference_count=differences.count,
        events=events,
        projected=dict(projected),
        seconds=time.monotonic() - started,
    )


async def _replay(
    reading: Reading,
    log: LogCheck,
    shadow: Shadow | None,
    names: Collection[str],
    differences: Differences,
) -> None:
    connection, partition = reading.connection, log.partition
    if shadow is not None:
        await shadow.begin()
    async for events, first, last in reading.runs():
        if shadow is not None:
            await shadow.apply(events, last)
        if FEES in names:
            await check_fees(connection, partition, events, (first, last), differences)
    if FEES in names:
        await check_no_fees_after(connection, partition, log.position, differences)
    for name, check in INLINE.items():
        if name in names:
            await check(connection, partition, log.fold, differences)
    if shadow is not None:
        await shadow.compare(log.fold, log.position)
