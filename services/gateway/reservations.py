"""What the gateway asks of the ledger: hold, hold more, charge, give back; and when it gives up.

A hold that is not confirmed in time is undone through the journal, and nothing is executed. A
charge or a return that is not confirmed in time is kept in the journal until it is.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from libs.events.codec import encode_command
from libs.events.commands import Attach, Command, Reserve
from libs.events.replies import Reply
from libs.runtime import metrics
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from libs.runtime.faults import fault
from services.gateway.attached import UNATTACHED, not_attached
from services.gateway.errors import (
    Refusal,
    insufficient,
    internal,
    ledger_unavailable,
    not_for_sale,
)
from services.gateway.hold import Hold
from services.gateway.journal import Journal
from services.gateway.orders import (
    Closed,
    Order,
    Served,
    Settlement,
    extend_command,
    release_command,
    reserve_command,
    settle_command,
)

log = logging.getLogger(__name__)

RESERVE_GIVE_UP_S: Final = 4.0
SETTLE_GIVE_UP_S: Final = 2.0
_DEADLINE: Final = timedelta(seconds=5)
_PAUSE_S: Final = 0.5

_INVALID_KEY: Final = frozenset({"unknown_key", "key_revoked", "key_expired", "unknown_account"})
_FORBIDDEN: Final[Mapping[str, str]] = {
    "account_frozen": "This account is frozen.",
    "account_closed": "This account is closed.",
    "key_not_allowed": "This key may not be used for this.",
}
_NO_CREDITS: Final = frozenset(
    {
        "insufficient_balance",
        "key_cap_total",
        "key_cap_day",
        "key_cap_month",
        "account_cap_day",
        "account_cap_month",
    }
)

_parked = metrics.counter("journal_appended_total", "Commands put into the journal.")
_refused = metrics.counter("closings_refused_total", "Charges or returns the ledger refused.")


class TakenError(Exception):
    """Another has opened the reservation that was to be opened `once`."""


class Ledger(Protocol):
    """The part of the ledger's client that reservations need."""

    def ledger_now(self) -> datetime: ...

    async def send(self, command: Command, *, give_up_s: float) -> Reply: ...


class Reservations:
    """Opens and closes reservations of one gateway worker."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        *,
        catalogue: str,
        hold_ms: int,
        top_up_url: str,
        unsold: Callable[[], None] = lambda: None,
        attached_hold_ms: int = 150_000,
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._catalogue = catalogue
        self._hold_ms = hold_ms
        self._top_up_url = top_up_url
        self._unsold = unsold
        self._attached_hold_ms = attached_hold_ms

    async def hold(self, order: Order, *, amount: int, at_least: int) -> Hold:
        """Hold up to `amount` nanos, at least `at_least`.

        Raises:
            Refusal: nothing is held, and nothing may be executed.
            TakenError: as little; of an order that is to be opened `once`.
        """
        command = reserve_command(
            order,
            amount=amount,
            at_least=at_least,
            hold_ms=self._attached_hold_ms if order.attached_to else self._hold_ms,
            catalogue=self._catalogue,
            deadline=self._reserve_by(),
        )
        reply = await self._reserve(order, command)
        if reply.reply == "Reserved":
            return Hold(order, self, int(reply.data["amount"]), _available(reply.data))
        if reply.reply == "Attached":
            # What it may cost was told to its reservation for good: it never grows.
            return Hold(order, self, int(reply.data["cost_bound"]), available=None)
        if reply.reply == "Conflict" and order.once is not None:
            raise TakenError(order.res)
        left = int(reply.data.get("available") or 0)
        if reply.data.get("code") == "attached_ceiling" and at_least <= left < amount:
            # The call is capped to what its reservation may still cost, as by a small balance.
            return await self.hold(order, amount=left, at_least=left)
        raise self._declined(order, reply)

    def _reserve_by(self) -> datetime:
        """Until when a hold that is asked for now may be opened; raises Refusal where none may."""
        if self._journal.problem() is not None:
            # What could not be kept later must not begin now (RSV-8).
            raise ledger_unavailable()
        try:
            return self._ledger.ledger_now() + _DEADLINE
        except LedgerUnavailable as error:
            raise ledger_unavailable() from error

    async def _reserve(self, order: Order, command: Reserve | Attach) -> Reply:
        """The ledger's answer; raises Refusal without one, and then nothing stays held."""
        try:
            return await self._ledger.send(command, give_up_s=RESERVE_GIVE_UP_S)
        except PermissionDenied as error:
            raise ledger_unavailable() from error
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            await self._undo(order, command)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise ledger_unavailable() from error

    async def _undo(self, order: Order, unanswered: Reserve | Attach) -> None:
        """Give back what may be held.

        Of a reservation that others may open too, only what this command has opened: it is sent
        again, and who gets its first reply releases it (`Replay` does so).
        """
        if order.once is None:
            deadline = unanswered.deadline
            undo = release_command(order, "reserve_unanswered", reserve_deadline=deadline)
            await self._park(undo)
            return
        reply = await self._park(unanswered)
        if reply is not None and reply.reply == "Reserved":
            await self._close(release_command(order, "reserve_unanswered"))

    async def extend(self, hold: Hold, total: int, used: int) -> bool:
        """Hold `total` in all; whether it is held now. Raises LedgerUnavailable."""
        command = extend_command(
            hold.order,
            hold.extensions,
            total=total,
            used=used,
            hold_ms=self._hold_ms,
            deadline=self._ledger.ledger_now() + _DEADLINE,
        )
        reply = await self._ledger.send(command, give_up_s=RESERVE_GIVE_UP_S)
        hold.available = _available(reply.data)
        if reply.reply == "Extended":
            hold.amount = int(reply.data["total"])
            return True
        if reply.reply != "Declined":
            log.error("Extend %s: %s %s", hold.order.res, reply.reply, reply.data)
        return False

    def _declined(self, order: Order, reply: Reply) -> Refusal:
        code = reply.data.get("code")
        if reply.reply == "Declined" and code is not None:
            if code in _NO_CREDITS:
                return insufficient(reply.data, order.unit, self._top_up_url, order.affordable)
            if code in _INVALID_KEY:
                return Refusal(401, "invalid_api_key", "This API key is not valid.")
            if code in _FORBIDDEN:
                return Refusal(403, code, _FORBIDDEN[code])
            if code == "deadline_passed":
                return ledger_unavailable()
            if order.attached_to is not None and code in UNATTACHED:
                return not_attached(code)
            if code == "unknown_catalogue":
                self._unsold()
                return not_for_sale()
        if reply.reply == "Conflict" and order.attached_to is not None:
            return not_attached("reservation_closed")
        log.error("Reserve %s: %s %s", order.res, reply.reply, reply.data)
        return internal()

    async def settle(self, order: Order, settlement: Settlement, served: Served) -> Closed:
        """Charge; on return the ledger or the journal has it."""
        fault("before_settle")
        return await self._close(settle_command(order, settlement, served))

    async def release(self, order: Order, reason: str, served: Served) -> Closed:
        """Give everything back; on return the ledger or the journal has it."""
        return await self._close(release_command(order, reason, served))

    async def abandon(self, order: Order) -> None:
        """Give everything back later: this process is about to end."""
        await self._park(release_command(order, "gateway_stopped"))

    async def _close(self, command: Command) -> Closed:
        try:
            reply: Reply | None = await self._ledger.send(command, give_up_s=SETTLE_GIVE_UP_S)
        except (LedgerUnavailable, PermissionDenied):
            reply = await self._park(command)
        except asyncio.CancelledError:
            # The process ends. What was decided is kept, and the client is still told.
            reply = await self._park(command)
        if reply is None:
            return Closed()
        data = reply.data
        if reply.reply == "Settled":
            return Closed(int(data["charge"]), _available(data))
        if reply.reply in {"Released", "Detached"}:
            return Closed(0, _available(data))
        _refused.inc()
        log.error("%s %s: %s %s", command.kind, command.caller_id, reply.reply, data.get("code"))
        return Closed()

    async def _park(self, command: Command) -> Reply | None:
        """Keep a command in the journal; where it cannot be kept, insist on an answer."""
        record = encode_command(command)
        while True:
            try:
                await self._journal.append(record)
            except OSError:
                log.critical("%s %s is in memory only", command.kind, command.caller_id)
            else:
                _parked.inc()
                return None
            try:
                return await self._ledger.send(command, give_up_s=SETTLE_GIVE_UP_S)
            except (LedgerUnavailable, PermissionDenied):
                await asyncio.sleep(_PAUSE_S)


def _available(data: Mapping[str, Any]) -> int | None:
    available = data.get("available")
    return None if available is None else int(available)
