"""Composite work (RSV-7): upstream calls that run under one open reservation and charge nothing.

What bounds them is the reservation's `attached_cost_ceiling`. Ceiling, bounds and costs are nanos
of the catalogue's currency, whatever unit the account has: they are what upstreams cost us.
"""

from datetime import timedelta

from libs.events.commands import Attach, Detach
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.keys import refuse_ended
from services.ledger.domain.state import (
    Account,
    Call,
    Conflict,
    Data,
    Declined,
    Refusal,
    Reservation,
    State,
)

MAX_CALLS = 50
"""Calls of one reservation in all: its row and its receipt name each of them."""


def decide_attach(draft: Draft, command: Attach) -> Refusal | None:
    """Let a call run under the hold, if its time and its bound stay within the hold's."""
    data, account, now = command.data, draft.account, draft.now
    reservation = draft.state.reservation
    if reservation is None:
        return refuse_closed(draft)
    refused = _refuse_standing(account, reservation, now.text)
    if refused:
        return refused
    if reservation.expires_at <= now.text:
        return Declined("reservation_expired", until=reservation.expires_at)
    until = to_text(now.at + timedelta(milliseconds=data.hold_ms))
    if until > reservation.expires_at:
        return Declined("hold_too_short", until=reservation.expires_at)
    ceiling = reservation.ceiling or 0
    after = spent(reservation) + data.cost_bound
    if reservation.ceiling is None or after > ceiling:
        left = max(0, ceiling - spent(reservation))
        return Declined("attached_ceiling", required=data.cost_bound, available=left, total=ceiling)
    if len(reservation.calls) >= MAX_CALLS:
        return Declined("too_many_calls")
    draft.add(
        "CallAttached",
        {
            "res": data.res,
            "call_id": data.call_id,
            "cost_bound": str(data.cost_bound),
            "until": until,
        },
    )
    return None


def _refuse_standing(account: Account, reservation: Reservation, now: str) -> Declined | None:
    """A call costs us money: who may not spend may not attach, and only a service key may."""
    if account.freezes:
        return Declined("account_frozen")
    ended = refuse_ended(account, reservation.key_id, now)
    if ended:
        return ended
    if account.keys[reservation.key_id].purpose != "service":
        return Declined("key_not_allowed", parameter="purpose")
    return None


def decide_detach(draft: Draft, command: Detach) -> Refusal | None:
    """Record what a call really cost, also above its bound: it happened."""
    data, reservation = command.data, draft.state.reservation
    if reservation is None:
        return refuse_closed(draft)
    if all(call.call_id != data.call_id for call in reservation.calls):
        return Declined("unknown_reservation", parameter="call_id")
    draft.add(
        "CallDetached",
        {
            "res": data.res,
            "call_id": data.call_id,
            "cost": str(data.cost),
            "cost_pico": None,
            "usage": dict(data.usage),
            "model": data.model,
            "route": data.route,
        },
    )
    return None


def refuse_closed(draft: Draft) -> Refusal:
    """Why nothing can be added to a reservation that is not open."""
    past = draft.state.past
    if past is None or past.how == "unknown":
        return Declined("unknown_reservation")
    if past.how == "expired":
        return Declined("reservation_expired")
    return Conflict(past.how, past.position)


def spent(reservation: Reservation) -> int:
    """What the calls cost, or may still cost. One that was never detached counts at its bound."""
    return sum(call.bound if call.cost is None else call.cost for call in reservation.calls)


def refuse_running(reservation: Reservation, now: str) -> Declined | None:
    """A reservation does not end while a call runs; one that nobody detached ends with its hold."""
    ends = [call.until for call in reservation.calls if call.cost is None and call.until > now]
    return Declined("calls_open", until=max(ends)) if ends else None


def evolve_attached(state: State, account: Account, data: Data) -> State:
    reservation = _open(state, data)
    call = Call(data["call_id"], int(data["cost_bound"]), data["until"])
    return State(account, reservation._replace(calls=(*reservation.calls, call)))


def evolve_detached(state: State, account: Account, data: Data) -> State:
    reservation, cost = _open(state, data), int(data["cost"])
    calls = (
        call._replace(cost=cost) if call.call_id == data["call_id"] else call
        for call in reservation.calls
    )
    return State(account, reservation._replace(calls=tuple(calls)))


def _open(state: State, data: Data) -> Reservation:
    if state.reservation is None:
        raise LookupError(f"{data['res']} is not open")
    return state.reservation
