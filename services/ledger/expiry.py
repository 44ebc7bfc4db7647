"""Closing reservations that nobody settled, a grace after their deadline (RSV-4)."""

import asyncio
import heapq
from collections.abc import Iterable
from datetime import timedelta

from libs.events.commands import KIND_CODES, ExpireReservation, ExpireReservationData
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes
from libs.events.times import to_text
from libs.runtime.metrics import counter
from services.ledger.batch import Pending
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.state import Reservation
from services.ledger.settings import LedgerSettings
from services.ledger.store import CommandKey
from services.ledger.writer import Writer

expired = counter(
    "ledger_expiries_total", "Reservations handed to expiry, a grace after their deadline"
)


class Expiry:
    """A heap of deadlines. An entry whose reservation is closed by then is dropped when due.

    Nothing expires for a while after a take-over: those who would settle are still retrying.
    """

    def __init__(self, writer: Writer, queue: CommandQueue, settings: LedgerSettings) -> None:
        self._writer = writer
        self._queue = queue
        self._grace = timedelta(seconds=settings.expiry_grace_s)
        self._tick_s = settings.expiry_tick_s
        self._quiet_until = writer.clock.monotonic() + settings.takeover_quiet_s
        self._deadlines: list[tuple[str, str]] = []

    def watch(self, reservations: Iterable[Reservation]) -> None:
        for reservation in reservations:
            heapq.heappush(self._deadlines, (reservation.expires_at, reservation.res))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            if self._writer.clock.monotonic() >= self._quiet_until:
                self.queue_due()

    def queue_due(self) -> None:
        """Queue an expiry for every reservation still open a grace after its deadline."""
        due = to_text(self._writer.now().at - self._grace)
        while self._deadlines and self._deadlines[0][0] <= due:
            expires_at, res = heapq.heappop(self._deadlines)
            reservation = self._writer.working.reservations.get(res)
            if reservation is None:
                continue
            if reservation.expires_at > expires_at:
                self.watch([reservation])  # it was extended meanwhile
                continue
            expired.inc()
            self._queue.put_expiry(_expiry_of(reservation))


def _expiry_of(reservation: Reservation) -> Pending:
    command = ExpireReservation(
        kind="ExpireReservation",
        caller_id=f"expire:{reservation.res}",
        account_id=reservation.account_id,
        correlation_id=reservation.res,
        data=ExpireReservationData(res=reservation.res),
    )
    key = CommandKey(caller_bytes(command.caller_id), KIND_CODES[command.kind], command.account_id)
    return Pending(command, key, fingerprint(command), None)
