"""The self-audit: proves the ledger against its log again and again, and says when it cannot.

It reads Postgres only, as farebox_auditor, and changes nothing. While anything differs it is not
ready, its metrics say how much, and its log says what.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import asyncpg

from libs.runtime.clock import SystemClock
from libs.runtime.database import Connection, connect
from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.health import Health, serve_health
from libs.runtime.metrics import Gauge, counter, gauge
from libs.runtime.supervision import Lifecycle
from services.ledger.checks.quick import overdue, unbalanced
from services.ledger.checks.reading import NotInstalledError
from services.ledger.checks.report import Difference
from services.ledger.invariants import INVARIANTS
from services.ledger.projections.projector import NAMES
from services.ledger.rebuild import standing
from services.ledger.settings import AuditorSettings
from services.ledger.verify import Report, verify

log = logging.getLogger(__name__)

LOGGED = 20
"""Differences that are logged one by one; the metrics count all."""

Work = Callable[[Connection], Awaitable[str | None]]
"""Returns the problem it found, None when all is well."""

verified = counter("audit_verifications_total", "Verifications of the whole ledger that ended")
failed = counter("audit_failures_total", "Checks that could not be done")
differing = gauge("audit_differences", "Differences that the last verification found")
events = gauge("audit_verified_events", "Events that the last verification read")
took = gauge("audit_verify_seconds", "How long the last verification took")
ended = gauge("audit_verified_at_seconds", "When the last verification ended, since 1970")
overdue_now = gauge("audit_overdue_reservations", "Reservations that should be closed by now")
checked = gauge("audit_checked_at_seconds", "When the last quick checks ended, since 1970")
unbalanced_now = gauge("audit_unbalanced_accounts", "Accounts below zero, or unlike their holds")


async def serve(settings: AuditorSettings, lifecycle: Lifecycle) -> None:
    """Audit until stopped."""
    health = Health()
    auditor = Auditor(settings)
    repeated = (
        Repeated("quick checks", settings.check_s, auditor.check, settings),
        # A long log takes long: the first verification may not keep the process from being ready.
        Repeated("verification", settings.verify_s, auditor.verify, settings, ready=True),
    )
    for each in repeated:
        health.add(each.name, each.health)
    async with serve_health(settings, health, lifecycle):
        for each in repeated:
            lifecycle.spawn(each.run(), each.name)
        await lifecycle.stopping.wait()
    await lifecycle.close()


class Repeated:
    """Does something every so often, on a connection of its own; failing is not the end of it."""

    def __init__(
        self,
        name: str,
        every_s: float,
        work: Work,
        settings: AuditorSettings,
        *,
        ready: bool = False,
    ) -> None:
        self.name = name
        self._every_s = every_s
        self._work = work
        self._settings = settings
        self._problem: str | None = None if ready else "starting"

    def health(self) -> str | None:
        """What the last time found, or why it could not be done."""
        return self._problem

    async def run(self) -> None:
        """Repeat until cancelled."""
        while True:
            try:
                self._problem = await self._once()
            except (
                DatabaseUnavailable,
                NotInstalledError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                OSError,
            ) as error:
                failed.inc()
                self._problem = f"not done: {error}"
                log.warning("%s could not be done: %s", self.name, error)
            await asyncio.sleep(self._every_s)

    async def _once(self) -> str | None:
        connection = await connect(self._settings)
        try:
            return await self._work(connection)
        finally:
            await connection.close()


class Auditor:
    """The checks, and what they tell."""

    def __init__(self, settings: AuditorSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._tables: set[str] = set()
        self._found: dict[str, Mapping[str, int]] = {}

    async def check(self, connection: Connection) -> str | None:
        """Overdue reservations, balances and holds, and how far the projections are behind."""
        late = await overdue(connection, self._settings.overdue_after_s)
        wrong = await unbalanced(connection)
        overdue_now.set(late.rows)
        unbalanced_now.set(wrong.rows)
        for name in NAMES:
            at = await standing(connection, name)
            _lag_of(name).set(at.events - at.seen)
        checked.set(round(self._clock.now().timestamp(), 3))
        self._judge("quick", {**late.invariants, **wrong.invariants})
        _log([*late.listed, *wrong.listed])
        found = []
        if late.rows:
            found.append(f"{late.rows} overdue reservations")
        if wrong.rows:
            found.append(f"{wrong.rows} unbalanced accounts")
        return ", ".join(found) or None

    async def verify(self, connection: Connection) -> str | None:
        """Everything: every event, and every table against the log."""
        projections = self._settings.verify_projections
        report = await verify(connection, log.debug, projections=projections)
        self._tell(report)
        if report.ok:
            log.info("%d events verified in %.1f s", report.events, report.seconds)
            return None
        _log(report.differences)
        log.error("%d differences in %d events", report.difference_count, report.events)
        return f"{report.difference_count} differences, the first: {report.differences[0]}"

    def _tell(self, report: Report) -> None:
        verified.inc()
        differing.set(report.difference_count)
        events.set(report.events)
        took.set(round(report.seconds, 3))
        ended.set(round(self._clock.now().timestamp(), 3))
        self._judge("whole", report.invariants)
        self._tables |= report.tables.keys()
        for table in self._tables:
            _differences_of(table).set(report.tables.get(table, 0))
        for partition, position in report.positions.items():
            _position_of(partition).set(position)

    def _judge(self, source: str, found: Mapping[str, int]) -> None:
        """Export each invariant that was checked; one that is checked twice must hold in both."""
        self._found[source] = found
        sums: Counter[str] = Counter()
        for part in self._found.values():
            sums.update(part)
        for name in INVARIANTS:
            if name in sums:
                _holds(name).set(int(not sums[name]))
                _broken_by(name).set(sums[name])


def _holds(name: str) -> Gauge:
    return gauge("audit_invariant", "1 while it holds, 0 while something differs", invariant=name)


def _broken_by(name: str) -> Gauge:
    return gauge(
        "audit_invariant_differences", "Differences that its last check found", invariant=name
    )


def _differences_of(table: str) -> Gauge:
    return gauge("audit_table_differences", "Differences the last verification found", table=table)


def _position_of(partition: int) -> Gauge:
    where = str(partition)
    return gauge("audit_verified_position", "Where the last verification ended", partition=where)


def _lag_of(projection: str) -> Gauge:
    return gauge("audit_projection_lag", "Events it has not seen yet", projection=projection)


def _log(differences: Iterable[Difference]) -> None:
    for difference in list(differences)[:LOGGED]:
        log.error("%s does not hold: %s", difference.invariant, difference)
