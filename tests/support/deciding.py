"""A ledger in memory for tests of the rules: decide and evolve, no database, no bytes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events import commands as c
from libs.events.ids import new_id
from libs.events.times import to_text
from services.ledger.cold import CHANGING, LotChanges
from services.ledger.domain.decide import decide
from services.ledger.domain.evolve import evolve
from services.ledger.domain.pasts import CLOSING, ended
from services.ledger.domain.state import (
    Accepted,
    Account,
    Decision,
    Event,
    Lot,
    Moment,
    Past,
    Reservation,
    State,
)

CATALOGUE = "c" * 64
AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
HELD = ("CreditsReserved", "ReservationExtended", "CallAttached", "CallDetached")
"""The events after which a reservation stands open, and changed."""


def _values(state: State) -> tuple[object, ...]:
    return state.account, state.reservation, state.past, state.lots, state.attempted


def _folded(state: State, decision: Accepted) -> State:
    for event in decision.events:
        state = evolve(state, event)
    return state


@dataclass
class Rules:
    """Commands run one after the other at a clock that moves only when told."""

    at: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    accounts: dict[str, Account] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    pasts: dict[str, Past] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    changes: LotChanges = field(default_factory=LotChanges)

    def after(self, **duration: float) -> "Rules":
        self.at += timedelta(**duration)
        return self

    def run(self, command: c.Command) -> Decision:
        res = getattr(command.data, "res", None)
        reservation = self.reservations.get(res)
        if reservation and reservation.account_id != command.account_id:
            reservation = None
        past = self._past(command.account_id, res) if res and not reservation else None
        state = State(
            self.accounts.get(command.account_id), reservation, past,
            self.lots(command.account_id), self._attempted(command),
        )  # fmt: skip
        decision = decide(state, command, Moment(self.at, to_text(self.at)))
        if isinstance(decision, Accepted):
            assert _values(_folded(state, decision)) == _values(decision.state), (
                "deciding and folding differ"
            )
            self._apply(decision)
        return decision

    def _attempted(self, command: c.Command) -> bool:
        """Whether the account ever opened the recharge attempt that the command names."""
        attempt_id = getattr(command.data, "attempt_id", None)
        return attempt_id is not None and any(
            event.type == "RechargeStarted" and event.data["attempt_id"] == attempt_id
            for event in self.events
            if event.account_id == command.account_id
        )

    def _past(self, account_id: str, res: str) -> Past:
        past = self.pasts.get(res)
        return past if past and past.account_id == account_id else Past("unknown")

    def lots(self, account_id: str) -> dict[int, Lot]:
        return self.changes.lots(account_id, {})

    def _apply(self, decision: Accepted) -> None:
        account = decision.state.account
        self.accounts[account.account_id] = account
        for event in decision.events:
            self.events.append(event)
            if event.type in HELD:
                self.reservations[event.data["res"]] = decision.state.reservation
            if event.type in CLOSING:
                self._end(event)
            if event.type in CHANGING:
                self.changes.follow(event, decision.state, len(self.events))
            if event.type == "CreditsRefunded":
                self.pasts[event.data["res"]] = decision.state.past

    def _end(self, event: Event) -> None:
        res = event.data["res"]
        held = self.reservations.pop(res, None)
        past = self.pasts.get(res, Past("unknown", account_id=event.account_id))
        if held:
            past = Past("open", None, held.amount, None, held.account_id, (), held.fee)
        self.pasts[res] = ended(past, event.type, event.data, len(self.events))


def command(
    kind: type[c.Command], account_id: str, data: dict[str, Any], **envelope: Any
) -> c.Command:
    caller = envelope.pop("caller_id", new_id("req"))
    return kind(
        kind=kind.__name__, caller_id=caller, account_id=account_id, correlation_id="test",
        data=data, **envelope,
    )  # fmt: skip


def open_account(account_id: str, unit: str = "USD", initial: int | None = None) -> c.Command:
    data = {"unit": unit, "plan": "payg", "catalogue": CATALOGUE, "initial": initial}
    return command(c.OpenAccount, account_id, data, caller_id=account_id)


def publish(partition: int, catalogue: str = CATALOGUE, **data: Any) -> c.Command:
    """Tell a partition to sell by a catalogue, at once."""
    given = {"hash": catalogue, "effective_from": AT_ONCE, **data}
    caller = f"catalogue:{catalogue}:{partition}"
    return command(c.PublishCatalogue, f"part_{partition}", given, caller_id=caller)


def issue_key(account_id: str, key_id: str, deadline: datetime, **data: Any) -> c.Command:
    given = {
        "key_id": key_id, "secret_hash": key_id[4:] * 2, "purpose": "inference", "prefix": "fb_0_ab",
        **data,
    }  # fmt: skip
    return command(c.IssueKey, account_id, given, caller_id=key_id, deadline=deadline)


def grant(account_id: str, amount: int, **data: Any) -> c.Command:
    given = {"source": "admin", "amount": amount, "priority": 0, "reason_code": "test", **data}
    return command(c.GrantCredits, account_id, given)


def reserve(
    account_id: str,
    key_id: str,
    amount: int,
    deadline: datetime,
    *,
    res: str | None = None,
    **data: Any,
) -> c.Command:
    given = {
        "key_id": key_id, "operation": "swift-1", "surface": "openai.chat", "amount": amount,
        "at_least": amount, "hold_ms": 60_000, "at_deadline": "release", "catalogue": CATALOGUE,
        **data,
    }  # fmt: skip
    caller = res or new_id("req")
    return command(c.Reserve, account_id, given, caller_id=caller, deadline=deadline)


def settle(account_id: str, res: str, charge: int, **data: Any) -> c.Command:
    given = {"res": res, "charge": charge, "margin": 0, "basis": "actual", **data}
    return command(c.Settle, account_id, given, caller_id=res)


def release(account_id: str, res: str, **data: Any) -> c.Command:
    given = {"res": res, "reason_code": "provider_failed", **data}
    return command(c.Release, account_id, given, caller_id=res)


def attach(
    account_id: str, res: str, call: str, bound: int, deadline: datetime, *, hold_ms: int = 30_000
) -> c.Command:
    data = {"res": res, "call_id": call, "cost_bound": bound, "hold_ms": hold_ms}
    caller = f"attach:{call}"
    return command(c.Attach, account_id, data, caller_id=caller, deadline=deadline)


def detach(account_id: str, res: str, call: str, cost: int, **data: Any) -> c.Command:
    given = {"res": res, "call_id": call, "cost": cost, **data}
    return command(c.Detach, account_id, given, caller_id=f"detach:{call}")


def expire(account_id: str, res: str) -> c.Command:
    return command(c.ExpireReservation, account_id, {"res": res}, caller_id=f"expire:{res}")


def refund(account_id: str, res: str, amount: int, number: int = 1, **data: Any) -> c.Command:
    given = {"res": res, "amount": amount, "whole": False, "reason_code": "goodwill", **data}
    return command(c.Refund, account_id, given, caller_id=f"refund:{res}:{number}")


def clawback(account_id: str, payment: str, returned: int, paid: int, cause: str) -> c.Command:
    given = {"payment": payment, "returned": returned, "paid": paid, "cause": cause}
    return command(c.Clawback, account_id, given, caller_id=cause)


def correct(account_id: str, amount: int, cause: str = "adjustment", **data: Any) -> c.Command:
    return command(c.Clawback, account_id, {"amount": amount, "cause": cause, **data})


def reverse(account_id: str, cause: str) -> c.Command:
    return command(c.ReverseClawback, account_id, {"cause": cause}, caller_id=f"reverse:{cause}")
