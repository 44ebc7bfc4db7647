"""Reservations: credits held before the upstream call, settled on real usage afterwards."""

from datetime import timedelta

from libs.events.commands import ExpireReservation, Release, Reserve, Settle
from libs.events.money import is_integral
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import (
    allocate,
    as_data,
    earliest_expiry,
    from_data,
    negative,
    shift,
    split,
)
from services.ledger.domain.keys import refuse_key
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
)


def decide_reserve(draft: Draft, command: Reserve) -> Declined | None:
    """Hold min(amount, available) if that is at least `at_least`; else decline (RSV-1, CRD-5)."""
    data, account, now = command.data, draft.account, draft.now
    refused = _refuse_standing(account) or refuse_key(
        account, data.key_id, data.operation, now.text
    )
    if refused:
        return refused
    for name, amount in (("amount", data.amount), ("at_least", data.at_least)):
        if not is_integral(amount, account.unit):
            return Declined("not_integral", parameter=name)
    if account.available < data.at_least:
        return insufficient(account, data.at_least)
    amount = min(data.amount, account.available)
    draft.move(
        "CreditsReserved",
        {
            "res": command.caller_id,
            "key_id": data.key_id,
            "operation": data.operation,
            "surface": data.surface,
            "amount": str(amount),
            "from": as_data(allocate(account.grants, amount)),
            "expires_at": to_text(now.at + timedelta(milliseconds=data.hold_ms)),
            "at_deadline": data.at_deadline,
            "catalogue": data.catalogue,
            "fee": None,
            "attached_cost_ceiling": None,
            "windows": {"day": now.text[:10], "month": now.text[:7]},
            "tags": dict(data.tags),
        },
    )
    return None


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


def decide_settle(draft: Draft, command: Settle) -> Refusal | None:
    """Charge what was used; above the hold from what is available, the rest is our loss."""
    data, state = command.data, draft.state
    if not is_integral(data.charge, draft.account.unit):
        return Declined("not_integral", parameter="charge")
    reservation = state.reservation
    if reservation is None:
        return _settle_closed(draft, command)
    used, returned = split(reservation.taken, min(data.charge, reservation.amount))
    over = max(0, data.charge - reservation.amount)
    extra = min(over, draft.account.available)
    taken = used + allocate(draft.account.grants, extra)
    _charge(
        draft, command, reserved_was=reservation.amount, taken=taken, returned=returned,
        extra=extra, loss=over - extra, loss_kind="overrun" if over > extra else None,
    )  # fmt: skip
    return None


def _settle_closed(draft: Draft, command: Settle) -> Refusal | None:
    """Settle what is not open: once more after expiry (RSV-4), else a refusal."""
    past = draft.state.past
    if past is None or past.how == "unknown":
        return Declined("unknown_reservation")
    if past.how != "expired":
        return Conflict(past.how, past.position)
    bound = min(command.data.charge, past.amount)
    extra = min(bound, draft.account.available)
    loss = command.data.charge - extra
    _charge(
        draft, command, reserved_was=0, taken=allocate(draft.account.grants, extra), returned=(),
        extra=extra, loss=loss, loss_kind="late" if loss else None,
    )  # fmt: skip
    return None


def _charge(
    draft: Draft,
    command: Settle,
    *,
    reserved_was: int,
    taken: Allocation,
    returned: Allocation,
    extra: int,
    loss: int,
    loss_kind: str | None,
) -> None:
    data = command.data
    draft.move(
        "CreditsCharged",
        {
            "res": data.res,
            "reserved_was": str(reserved_was),
            "charge": str(data.charge - loss),
            "margin": str(data.margin),
            "cost_pico": str(data.cost_pico) if data.cost_pico is not None else None,
            "basis": data.basis,
            "taken": as_data(taken),
            "returned": as_data(returned),
            "extra": str(extra),
            "loss": str(loss),
            "loss_kind": loss_kind,
            "fee": None,
            "usage": dict(data.usage),
            "model": data.model,
            "route": data.route,
            "route_reason": data.route_reason,
            "attempts": [attempt.model_dump(mode="json") for attempt in data.attempts],
            "finish": data.finish,
            "status": data.status,
        },
    )


def decide_release(draft: Draft, command: Release) -> Refusal | None:
    """Give everything back. An unknown reservation may still be on its way: retry until then."""
    data, reservation = command.data, draft.state.reservation
    if reservation is None:
        past = draft.state.past
        if past is not None and past.how == "settled":
            return Conflict("settled", past.position)
        if past is not None and past.how == "expired":
            return Declined("unknown_reservation")  # its credits went back when it expired
        if data.reserve_deadline is not None and draft.now.at < data.reserve_deadline:
            return Retry()
        return Declined("unknown_reservation")
    draft.move(
        "CreditsReleased",
        {
            "res": data.res,
            "amount": str(reservation.amount),
            "returned": as_data(reservation.taken),
            "reason_code": data.reason_code,
            "fee_reversed": None,
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
            "fee_reversed": None,
        },
    )
    return None


def evolve_reserved(account: Account, data: Data) -> State:
    amount, taken = int(data["amount"]), from_data(data["from"])
    held = account._replace(
        available=account.available - amount,
        reserved=account.reserved + amount,
        grants=shift(account.grants, negative(taken), taken),
    )
    reservation = Reservation(
        res=data["res"],
        account_id=account.account_id,
        key_id=data["key_id"],
        operation=data["operation"],
        amount=amount,
        taken=taken,
        expires_at=data["expires_at"],
        at_deadline=data["at_deadline"],
        catalogue=data["catalogue"],
    )
    return State(held, reservation)


def evolve_charged(account: Account, data: Data) -> State:
    extra, returned = int(data["extra"]), from_data(data["returned"])
    taken = from_data(data["taken"])
    # The part above the hold stands at the end of `taken`; it came out of what was available.
    used, above = split(taken, sum(part for _, part in taken) - extra)
    grants = shift(account.grants, returned, negative(_merged(used + returned)))
    grants = shift(grants, negative(above), ())
    back = sum(part for _, part in returned)
    return State(
        account._replace(
            available=account.available + back - extra,
            reserved=account.reserved - int(data["reserved_was"]),
            grants=grants,
            next_expiry=earliest_expiry(grants),
        )
    )


def _merged(parts: Allocation) -> Allocation:
    """One entry a grant: the boundary grant stands in both the used and the returned part."""
    by_grant: dict[int, int] = {}
    for no, part in parts:
        by_grant[no] = by_grant.get(no, 0) + part
    return tuple(by_grant.items())


def evolve_returned(account: Account, data: Data) -> State:
    """CreditsReleased and ReservationExpired: taken is consumed, returned becomes available."""
    returned, taken = from_data(data["returned"]), from_data(data.get("taken", ()))
    grants = shift(account.grants, returned, negative(_merged(taken + returned)))
    return State(
        account._replace(
            available=account.available + sum(part for _, part in returned),
            reserved=account.reserved - int(data["amount"]),
            grants=grants,
            next_expiry=earliest_expiry(grants),
        )
    )
