"""Closing what nobody closes: unsettled reservations (RSV-4), grants of idle accounts (CRD-4)."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.commands import (
    Command,
    ExpireGrant,
    ExpireGrantData,
    ExpireReservation,
    ExpireReservationData,
)
from libs.events.fingerprints import fingerprint
from libs.events.times import to_text
from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.metrics import counter
from services.ledger.command_key import command_key
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.state import Reservation
from services.ledger.pending import Pending
from services.ledger.settings import LedgerSettings
from services.ledger.statements import load
from services.ledger.writer import Writer

expired = counter(
    "ledger_expiries_total", "Reservations handed to expiry, a grace after their deadline"
)
grants_expired = counter(
    "ledger_grant_expiries_total", "Grants of idle accounts handed to expiry when it was due"
)
log = logging.getLogger(__name__)

SQL = load("append.sql")
AGAIN_S = 60.0
"""After so long an expiry that was queued is queued again: its append may have been refused."""
MOST_WAITING = 5_000
"""Expiries queued at once; after a long outage the rest waits its turn without being looked at."""
LOOK_EVERY_S = 60.0
LOOK_AHEAD = timedelta(minutes=10)
PAGE = 1000
TROUBLE = (DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
START = (datetime.fromtimestamp(0, UTC), UUID(int=0))


class Expiry:
    """Queues the expiry of every hold that is open a grace after its deadline.

    Nothing expires for a while after a take-over: those who would settle are still retrying. The
    same after ledger time has leapt, by a clock that was set or a process that was stopped: what
    they sent in time may still be on its way to the queue.
    """

    def __init__(self, writer: Writer, queue: CommandQueue, settings: LedgerSettings) -> None:
        self._writer = writer
        self._queue = queue
        self._grace = timedelta(seconds=settings.expiry_grace_s)
        self._tick_s = settings.expiry_tick_s
        self._quiet_s = settings.takeover_quiet_s
        self._quiet_until = writer.clock.monotonic() + self._quiet_s
        self._ticked_at = writer.now().at
        self._leap = self._grace + timedelta(seconds=self._tick_s)
        self._waiting: dict[str, float] = {}
        """Holds whose expiry is queued, and when it was."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            self.tick()

    def tick(self) -> None:
        """Queue what is due unless it is quiet time; a leap of ledger time begins one."""
        at, monotonic = self._writer.now().at, self._writer.clock.monotonic()
        if at - self._ticked_at > self._leap:
            log.warning(
                "ledger time leapt by %s: nothing expires for a while", at - self._ticked_at
            )
            self._quiet_until = monotonic + self._quiet_s
        self._ticked_at = at
        if monotonic >= self._quiet_until:
            self.queue_due()

    def queue_due(self) -> None:
        """Queue an expiry for every reservation still open a grace after its deadline."""
        working, now = self._writer.working, self._writer.clock.monotonic()
        self._forget_closed(now)
        due = to_text(self._writer.now().at - self._grace)
        for res in working.deadlines.until(due):
            if len(self._waiting) >= MOST_WAITING:
                return
            reservation = working.reservations[res]
            if reservation.expires_at <= due and res not in self._waiting:
                expired.inc()
                self._waiting[res] = now
                self._queue.put_expiry(_expiry_of(reservation))

    def _forget_closed(self, now: float) -> None:
        still_open = self._writer.working.reservations
        self._waiting = {
            res: since
            for res, since in self._waiting.items()
            if res in still_open and now - since < AGAIN_S
        }


def _expiry_of(reservation: Reservation) -> Pending:
    command = ExpireReservation(
        kind="ExpireReservation",
        caller_id=f"expire:{reservation.res}",
        account_id=reservation.account_id,
        correlation_id=reservation.res,
        data=ExpireReservationData(res=reservation.res),
    )
    return _internal(command)


class GrantExpiry:
    """Expires grants of accounts that nobody uses; those in use expire with the next command.

    Reads ahead what falls due soon, page by page, on a connection of its own. A grant that is
    made meanwhile and ends sooner is seen by the next look. An entry that is out of date does no
    harm: the command finds nothing to expire and is declined.
    """

    def __init__(
        self,
        writer: Writer,
        queue: CommandQueue,
        settings: LedgerSettings,
        connect: Callable[[], Awaitable["asyncpg.Connection[Any]"]],
    ) -> None:
        self._writer = writer
        self._queue = queue
        self._tick_s = settings.expiry_tick_s
        self._connect = connect
        self._soon: deque[tuple[datetime, str, int]] = deque()
        self._after = START
        self._next_look = 0.0

    async def run(self) -> None:
        while True:
            try:
                await self.tick()
            except TROUBLE as error:
                log.warning("cannot see which grants expire: %r", error)
            await asyncio.sleep(self._tick_s)

    async def tick(self) -> None:
        """Look ahead when it is time to, then queue what is due."""
        monotonic = self._writer.clock.monotonic()
        if monotonic >= self._next_look:
            self._next_look = monotonic + LOOK_EVERY_S
            await self._look()
        now = self._writer.now().at
        while self._soon and self._soon[0][0] <= now:
            _, account_id, no = self._soon.popleft()
            grants_expired.inc()
            self._queue.put_expiry(_grant_expiry_of(account_id, no))
        if not self._soon and self._after != START:
            self._next_look = monotonic  # all of a full page was due: go on behind it

    async def _look(self) -> None:
        connection = await self._connect()
        try:
            partition, until = self._writer.store.partition, self._writer.now().at + LOOK_AHEAD
            rows = await connection.fetch(
                SQL["expiring_accounts"], partition, until, *self._after, PAGE
            )
        finally:
            await connection.close()
        self._soon = deque(
            (row["next_expiry"], f"acct_{row['account_id'].hex}", no)
            for row in rows
            if (no := _first_to_expire(row["state"])) is not None
        )
        full = len(rows) == PAGE
        self._after = (rows[-1]["next_expiry"], rows[-1]["account_id"]) if full else START


def _first_to_expire(state: bytes) -> int | None:
    """The grant whose expiry the row names, None when all of it is reserved by now."""
    ends = [
        (expires_at, no)
        for no, available, _, _, expires_at, *_ in orjson.loads(state)["grants"]
        if available and expires_at
    ]
    return min(ends)[1] if ends else None


def _grant_expiry_of(account_id: str, no: int) -> Pending:
    caller_id = f"expire_grant:{account_id}:{no}"
    command = ExpireGrant(
        kind="ExpireGrant",
        caller_id=caller_id,
        account_id=account_id,
        correlation_id=caller_id,
        data=ExpireGrantData(grant_no=no),
    )
    return _internal(command)


def _internal(command: Command) -> Pending:
    """A command that the ledger gives itself: nobody waits for its reply."""
    return Pending(command, command_key(command), fingerprint(command), None)
