"""Reservations: credits held before the upstream call, settled on real usage afterwards."""

from datetime import datetime, timedelta
from functools import lru_cache
from sys import intern

from libs.events.commands import ExpireReservation, Extend, Release, Reserve
from libs.events.fields import MAX_ALLOCATIONS
from libs.events.money import is_integral
from libs.events.times import to_text
from services.ledger.domain import spending
from services.ledger.domain.calls import refuse_closed, refuse_running
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import (
    allocate,
    as_data,
    earliest_expiry,
    from_data,
    hold,
    joined,
    merged,
    negative,
    shift,
    split,
)
from services.ledger.domain.keys import refuse_ended, refuse_key
from services.ledger.domain.state import (
    Account,
    Allocation,
    Conflict,
    Data,
    Declined,
    Refusal,
    Reservation,
    Retry,
    State,
    moved,
)


def decide_reserve(draft: Draft, command: Reserve) -> Declined | None:
    """Hold min(amount, available) if that is at least `at_least`; else decline (RSV-1, CRD-5)."""
    asked = vars(command.data)  # where pydantic keeps the fields: attributes cost more, and
    account, now = draft.account, draft.now  # nothing is decided more often than this
    key_id, wanted, at_least = asked["key_id"], asked["amount"], asked["at_least"]
    refused = _refuse_standing(account) or refuse_key(account, key_id, asked["operation"], now.text)
    if refused:
        return refused
    if not is_integral(wanted, account.unit):
        return Declined("not_integral", parameter="amount")
    if not is_integral(at_least, account.unit):
        return Declined("not_integral", parameter="at_least")
    available = account.available
    if available < at_least:
        return insufficient(account, at_least)
    room = spending.tightest(account, account.keys[key_id], now)
    if room is not None and room.left < at_least:
        return capped(account, at_least, room)
    amount = min(wanted, available, room.left if room else wanted)
    fee, day, ceiling = asked["fee"], now.text[:10], asked["attached_cost_ceiling"]
    data = {
        "res": command.caller_id,
        "key_id": key_id,
        "operation": asked["operation"],
        "surface": asked["surface"],
        "amount": str(amount),
        "from": as_data(taken := allocate(account.grants, amount)),
        "expires_at": _later(now.at, asked["hold_ms"]),
        "at_deadline": asked["at_deadline"],
        "catalogue": asked["catalogue"],
        "fee": fee.model_dump(mode="json") if fee else None,
        "attached_cost_ceiling": None if ceiling is None else str(ceiling),
        "windows": {"day": day, "month": day[:7]},
        "tags": dict(asked["tags"]),
    }
    draft.become("CreditsReserved", data, opened(account, held(account, data, amount, taken)))
    return None


@lru_cache(maxsize=256)
def _later(at: datetime, hold_ms: int) -> str:
    """Remembered, because the commands of a batch share their moment and mostly their hold."""
    return to_text(at + timedelta(milliseconds=hold_ms))


def _refuse_standing(account: Account) -> Declined | None:
    if account.closed:
        return Declined("account_closed")
    return Declined("account_frozen") if account.freezes else None


def insufficient(account: Account, required: int) -> Declined:
    """Too little: `in_flight` when what is held for other requests would have been enough."""
    return Declined(
        "insufficient_balance",
        required=required,
        available=account.available,
        reserved=account.reserved,
        total=account.total,
        limit_source="in_flight" if account.total >= required else "balance",
    )


def capped(account: Account, required: int, room: spending.Room) -> Declined:
    """Enough credits, but the key or the account may not spend so much in this window."""
    return Declined(
        room.code,
        required=required,
        available=account.available,
        reserved=account.reserved,
        total=account.total,
        limit_source=room.limit_source,
        until=room.until,
    )


def decide_extend(draft: Draft, command: Extend) -> Refusal | None:
    """Raise the hold to a new total and deadline; names totals, so a repeat changes nothing."""
    data, account, now = command.data, draft.account, draft.now
    reservation = draft.state.reservation
    if reservation is None:
        return refuse_closed(draft)
    refused = _refuse_standing(account) or refuse_ended(account, reservation.key_id, now.text)
    if refused:
        return refused
    if reservation.expires_at <= now.text:
        return Declined("reservation_expired", until=reservation.expires_at)
    for name, amount in (("total", data.total), ("used_so_far", data.used_so_far)):
        if not is_integral(amount, account.unit):
            return Declined("not_integral", parameter=name)
    added = max(0, data.total - reservation.amount)
    if account.available < added:
        return insufficient(account, added)
    key = account.keys.get(reservation.key_id)
    room = spending.tightest(account, key, now)
    if room is not None and added and room.left < added:
        return capped(account, added, room)
    more = allocate(account.grants, added)
    if len(joined(reservation.taken, more)) > MAX_ALLOCATIONS:
        return Declined("too_many_grants")  # its settlement could not name them all
    expires_at = _later(now.at, data.hold_ms)
    draft.move(
        "ReservationExtended",
        {
            "res": data.res,
            "total": str(reservation.amount + added),
            "added": str(added),
            "from": as_data(more),
            "expires_at": max(expires_at, reservation.expires_at),
            # An older extension may arrive after a newer one.
            "used_so_far": str(max(data.used_so_far, reservation.used_so_far)),
        },
    )
    return None


def decide_release(draft: Draft, command: Release) -> Refusal | None:
    """Give everything back. An unknown reservation may still be on its way: retry until then."""
    data, reservation = command.data, draft.state.reservation
    if reservation is None:
        past = draft.state.past
        if past is not None and past.how == "settled":
            return Conflict("settled", past.position)
        if past is not None and past.how == "expired":
            return Declined("unknown_reservation")  # its credits went back when it expired
        if data.reserve_deadline is not None and draft.now.at <= data.reserve_deadline:
            return Retry()
        return Declined("unknown_reservation")
    if reservation.calls and (running := refuse_running(reservation, draft.now.text)):
        return running
    draft.move(
        "CreditsReleased",
        {
            "res": data.res,
            "amount": str(reservation.amount),
            "returned": as_data(reservation.taken),
            "reason_code": data.reason_code,
            "fee_reversed": reservation.fee,
            "route": data.route,
            "attempts": [attempt.model_dump(mode="json") for attempt in data.attempts],
            "status": data.status,
        },
    )
    return None


def decide_expiry(draft: Draft, command: ExpireReservation) -> Refusal | None:
    """Close a hold nobody settled, by the operation's rule: release, or charge what is known."""
    del command  # the reservation it names is the state's
    reservation = draft.state.reservation
    if reservation is None or reservation.expires_at > draft.now.text:
        return Declined("unknown_reservation")
    charge = 0
    if reservation.at_deadline == "charge":
        charge = min(reservation.used_so_far, reservation.amount)
    taken, returned = split(reservation.taken, charge)
    draft.move(
        "ReservationExpired",
        {
            "res": reservation.res,
            "amount": str(reservation.amount),
            "at_deadline": reservation.at_deadline,
            "charge": str(charge),
            "margin": "0",
            "taken": as_data(taken),
            "returned": as_data(returned),
            "loss": str(reservation.used_so_far if reservation.at_deadline == "release" else 0),
            "fee_reversed": reservation.fee if not charge else None,
        },
    )
    return None


def evolve_reserved(_state: State, account: Account, data: Data) -> State:
    return opened(account, held(account, data, int(data["amount"]), from_data(data["from"])))


def opened(account: Account, reservation: Reservation) -> State:
    """The state once credits of an account are held."""
    amount = reservation.amount
    after = moved(
        spending.count(account, reservation.key_id, reservation.day, amount),
        available=account.available - amount,
        reserved=account.reserved + amount,
        grants=hold(account.grants, reservation.taken),
        next_expiry=account.next_expiry,
    )
    return State(after, reservation)


def held(account: Account, data: Data, amount: int, taken: Allocation) -> Reservation:
    """The hold that a CreditsReserved opens; `amount` and `taken` are the event's, as numbers."""
    return plain_hold(account.account_id, data, amount, taken, limited=account.limits is not None)


def plain_hold(
    account_id: str, data: Data, amount: int, taken: Allocation, *, limited: bool
) -> Reservation:
    """The same of an account that is not at hand. Words that many holds share are kept once."""
    return Reservation(
        data["res"],
        account_id,
        intern(data["key_id"]),
        intern(data["operation"]),
        amount,
        taken,
        data["expires_at"],
        intern(data["at_deadline"]),
        intern(data["catalogue"]),
        intern(data["windows"]["day"]),
        data["fee"],
        0,
        limited,
        int(ceiling) if (ceiling := data["attached_cost_ceiling"]) else None,
    )


def evolve_extended(state: State, account: Account, data: Data) -> State:
    reservation = _open(state, data)
    added, more = int(data["added"]), from_data(data["from"])
    held = spending.recount(account, reservation, added)._replace(
        available=account.available - added,
        reserved=account.reserved + added,
        grants=shift(account.grants, negative(more), more),
    )
    return State(
        held,
        reservation._replace(
            amount=reservation.amount + added,
            taken=joined(reservation.taken, more),
            expires_at=data["expires_at"],
            used_so_far=int(data["used_so_far"]),
        ),
    )


def _open(state: State, data: Data) -> Reservation:
    if state.reservation is None:
        raise LookupError(f"{data['res']} is not open")
    return state.reservation


def evolve_returned(state: State, account: Account, data: Data) -> State:
    """CreditsReleased and ReservationExpired: taken is consumed, returned becomes available."""
    returned, taken = from_data(data["returned"]), from_data(data.get("taken", ()))
    # An extension may have gone back to a grant that came first: merged, or a part is lost.
    grants = shift(account.grants, merged(returned), negative(merged(taken + returned)))
    back = sum(part for _, part in returned)
    return State(
        spending.recount(account, _open(state, data), -back)._replace(
            available=account.available + back,
            reserved=account.reserved - int(data["amount"]),
            grants=grants,
            next_expiry=earliest_expiry(grants),
        )
    )
