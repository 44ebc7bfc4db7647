"""The three things the gateway asks of the ledger: hold, charge, give back; and when it gives up.

A hold that is not confirmed in time is undone through the journal, and nothing is executed. A
charge or a return that is not confirmed in time is kept in the journal until it is.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from libs.catalogue import Usage
from libs.events.codec import encode_command
from libs.events.commands import (
    Command,
    Release,
    ReleaseData,
    Reserve,
    ReserveData,
    Settle,
    SettleData,
)
from libs.events.fields import Attempt
from libs.events.replies import Reply
from libs.runtime import metrics
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from libs.runtime.faults import fault
from services.gateway.errors import Refusal, insufficient, internal, ledger_unavailable
from services.gateway.journal import Journal

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


class Ledger(Protocol):
    """The part of the ledger's client that reservations need."""

    def ledger_now(self) -> datetime: ...

    async def send(self, command: Command, *, give_up_s: float) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants what: the parts that all commands on one reservation share."""

    res: str
    account_id: str
    key_id: str
    unit: str
    operation: str
    surface: str
    at_deadline: Literal["release", "charge"]
    traceparent: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be charged: nanos of the account's unit; `cost_pico` what it cost us."""

    charge: int
    margin: int
    basis: Literal["actual", "estimate", "fixed"]
    cost_pico: int | None
    usage: Usage | None
    finish: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """How the request was served, for the record."""

    model: str | None
    route: str
    attempts: tuple[Attempt, ...]
    status: int | None


@dataclass(frozen=True, slots=True)
class Closed:
    """What the ledger confirmed, in nanos; nothing is known while the journal has it."""

    charge: int | None = None
    available: int | None = None


class Reservations:
    """Opens and closes reservations of one gateway worker."""

    def __init__(
        self, ledger: Ledger, journal: Journal, *, catalogue: str, hold_ms: int, top_up_url: str
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._catalogue = catalogue
        self._hold_ms = hold_ms
        self._top_up_url = top_up_url

    async def hold(self, order: Order, *, amount: int, at_least: int) -> int:
        """Hold up to `amount` nanos; return what is held, at least `at_least`.

        Raises:
            Refusal: nothing is held, and nothing may be executed.
        """
        if self._journal.problem() is not None:
            # What could not be kept later must not begin now (RSV-8).
            raise ledger_unavailable()
        try:
            deadline = self._ledger.ledger_now() + _DEADLINE
        except LedgerUnavailable as error:
            raise ledger_unavailable() from error
        command = Reserve(
            caller_id=order.res,
            account_id=order.account_id,
            deadline=deadline,
            correlation_id=order.res,
            traceparent=order.traceparent,
            data=ReserveData(
                key_id=order.key_id,
                operation=order.operation,
                surface=order.surface,
                amount=amount,
                at_least=at_least,
                hold_ms=self._hold_ms,
                at_deadline=order.at_deadline,
                catalogue=self._catalogue,
            ),
        )
        try:
            reply = await self._ledger.send(command, give_up_s=RESERVE_GIVE_UP_S)
        except PermissionDenied as error:
            raise ledger_unavailable() from error
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            await self._park(_release(order, "reserve_unanswered", None, deadline))
            if isinstance(error, asyncio.CancelledError):
                raise
            raise ledger_unavailable() from error
        if reply.reply == "Reserved":
            return int(reply.data["amount"])
        raise self._declined(order, reply)

    def _declined(self, order: Order, reply: Reply) -> Refusal:
        code = reply.data.get("code")
        if reply.reply == "Declined" and code is not None:
            if code in _NO_CREDITS:
                return insufficient(reply.data, order.unit, self._top_up_url)
            if code in _INVALID_KEY:
                return Refusal(401, "invalid_api_key", "This API key is not valid.")
            if code in _FORBIDDEN:
                return Refusal(403, code, _FORBIDDEN[code])
            if code == "deadline_passed":
                return ledger_unavailable()
        log.error("Reserve %s: %s %s", order.res, reply.reply, reply.data)
        return internal()

    async def settle(self, order: Order, settlement: Settlement, served: Served) -> Closed:
        """Charge; on return the ledger or the journal has it."""
        fault("before_settle")
        usage = settlement.usage
        command = Settle(
            caller_id=order.res,
            account_id=order.account_id,
            correlation_id=order.res,
            traceparent=order.traceparent,
            data=SettleData(
                res=order.res,
                charge=settlement.charge,
                margin=settlement.margin,
                basis=settlement.basis,
                cost_pico=settlement.cost_pico,
                usage={} if usage is None else _counts(usage),
                model=served.model,
                route=served.route,
                route_reason="only_route",
                attempts=served.attempts,
                finish=settlement.finish,
                status=served.status,
            ),
        )
        return await self._close(command)

    async def release(self, order: Order, reason: str, served: Served) -> Closed:
        """Give everything back; on return the ledger or the journal has it."""
        return await self._close(_release(order, reason, served, None))

    async def abandon(self, order: Order) -> None:
        """Give everything back later: this process is about to end."""
        await self._park(_release(order, "gateway_stopped", None, None))

    async def _close(self, command: Command) -> Closed:
        try:
            reply: Reply | None = await self._ledger.send(command, give_up_s=SETTLE_GIVE_UP_S)
        except (LedgerUnavailable, PermissionDenied):
            reply = await self._park(command)
        except asyncio.CancelledError:
            await self._park(command)
            raise
        if reply is None:
            return Closed()
        data = reply.data
        if reply.reply == "Settled":
            return Closed(int(data["charge"]), _available(data))
        if reply.reply == "Released":
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


def _release(
    order: Order, reason: str, served: Served | None, reserve_deadline: datetime | None
) -> Release:
    return Release(
        caller_id=order.res,
        account_id=order.account_id,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=ReleaseData(
            res=order.res,
            reserve_deadline=reserve_deadline,
            reason_code=reason,
            route=None if served is None else served.route,
            attempts=() if served is None else served.attempts,
            status=None if served is None else served.status,
        ),
    )


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _available(data: Mapping[str, Any]) -> int | None:
    available = data.get("available")
    return None if available is None else int(available)
