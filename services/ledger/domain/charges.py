"""Charges: what a settled reservation cost. What exceeds hold and balance is our loss."""

from libs.events.commands import Settle
from libs.events.fields import MAX_ALLOCATIONS
from libs.events.money import is_integral
from services.ledger.domain import spending
from services.ledger.domain.calls import refuse_running
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import (
    allocate,
    as_data,
    earliest_expiry,
    from_data,
    merged,
    negative,
    shift,
    split,
)
from services.ledger.domain.state import (
    Account,
    Allocation,
    Conflict,
    Data,
    Declined,
    Refusal,
    State,
)


def decide_settle(draft: Draft, command: Settle) -> Refusal | None:
    """Charge what was used; above the hold from what is available, the rest is our loss."""
    data, state = command.data, draft.state
    if not is_integral(data.charge, draft.account.unit):
        return Declined("not_integral", parameter="charge")
    reservation = state.reservation
    if reservation is None:
        return _settle_closed(draft, command)
    if reservation.calls and (running := refuse_running(reservation, draft.now.text)):
        return running
    used, returned = split(reservation.taken, min(data.charge, reservation.amount))
    over = max(0, data.charge - reservation.amount)
    above = allocate(draft.account.grants, min(over, draft.account.available))
    above = above[: MAX_ALLOCATIONS - len(used)]  # what an event can name
    extra = sum(part for _, part in above)
    _charge(
        draft, command, reserved_was=reservation.amount, charge=data.charge - (over - extra),
        taken=used + above, returned=returned, extra=extra, loss=over - extra,
        loss_kind="overrun" if over > extra else None, fee=None,
    )  # fmt: skip
    return None


def _settle_closed(draft: Draft, command: Settle) -> Refusal | None:
    """Settle what is not open: once more after expiry (RSV-4), else a refusal."""
    past = draft.state.past
    if past is None or past.how == "unknown":
        return Declined("unknown_reservation")
    if past.how != "expired":
        return Conflict(past.how, past.position)
    paid = sum(int(charge["charge"]) for charge in past.charges)  # when it expired
    charge = max(0, command.data.charge - paid)
    extra = min(charge, past.amount - paid, draft.account.available)
    loss = charge - extra
    _charge(
        draft, command, reserved_was=0, charge=extra,
        taken=allocate(draft.account.grants, extra), returned=(), extra=extra, loss=loss,
        loss_kind="late" if loss else None, fee=past.fee,
    )  # fmt: skip
    return None


def _charge(
    draft: Draft,
    command: Settle,
    *,
    reserved_was: int,
    charge: int,
    taken: Allocation,
    returned: Allocation,
    extra: int,
    loss: int,
    loss_kind: str | None,
    fee: Data | None,
) -> None:
    data = command.data
    draft.move(
        "CreditsCharged",
        {
            "res": data.res,
            "reserved_was": str(reserved_was),
            "charge": str(charge),
            "margin": str(data.margin),
            "cost_pico": str(data.cost_pico) if data.cost_pico is not None else None,
            "basis": data.basis,
            "taken": as_data(taken),
            "returned": as_data(returned),
            "extra": str(extra),
            "loss": str(loss),
            "loss_kind": loss_kind,
            "fee": fee,
            "usage": dict(data.usage),
            "model": data.model,
            "route": data.route,
            "route_reason": data.route_reason,
            "attempts": [attempt.model_dump(mode="json") for attempt in data.attempts],
            "finish": data.finish,
            "status": data.status,
        },
    )


def evolve_charged(state: State, account: Account, data: Data) -> State:
    extra, returned = int(data["extra"]), from_data(data["returned"])
    taken = from_data(data["taken"])
    # The part above the hold stands at the end of `taken`; it came out of what was available.
    used, above = split(taken, sum(part for _, part in taken) - extra)
    grants = shift(account.grants, merged(returned), negative(merged(used + returned)))
    grants = shift(grants, negative(above), ())
    back = sum(part for _, part in returned)
    counted = account
    if state.reservation is not None:
        counted = spending.recount(account, state.reservation, extra - back)
    return State(
        counted._replace(
            available=account.available + back - extra,
            reserved=account.reserved - int(data["reserved_was"]),
            grants=grants,
            next_expiry=earliest_expiry(grants),
        )
    )
