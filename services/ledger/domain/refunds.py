"""Refunds: credits of a charge given back, the part that was consumed last first (CRD-7)."""

from datetime import timedelta
from typing import Any

from libs.events.commands import Refund
from libs.events.money import MAX_TOTAL, is_integral
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import (
    MAX_LIVE_GRANTS,
    as_data,
    burn_order,
    earliest_expiry,
    from_data,
    grant_id,
    merged,
    split,
)
from services.ledger.domain.notes import note_id
from services.ledger.domain.state import (
    Account,
    Allocation,
    Data,
    Declined,
    Grant,
    Lot,
    Past,
    Refunded,
    State,
)

CHILD_LIFE = timedelta(days=30)
"""How long what comes back to an expired grant can be spent."""


def decide_refund(draft: Draft, command: Refund) -> Declined | None:
    """Give back part of a charge, or all that is left of it and then its fee too."""
    data, account, past = command.data, draft.account, draft.state.past
    if account.closed:
        return Declined("account_closed")
    if draft.state.reservation is None and (past is None or past.how == "unknown"):
        return Declined("unknown_reservation")
    if not is_integral(data.amount, account.unit):
        return Declined("not_integral", parameter="amount")
    taken, refunded = _taken(past), past.refunded if past else Refunded()
    left = sum(part for _, part in taken) - refunded.amount
    if data.amount > left:
        return Declined("refund_exceeds_charge", required=data.amount, total=left)
    if data.whole and data.amount != left:
        return Declined("refund_exceeds_charge", data.amount, total=left, parameter="whole")
    if account.total + data.amount > MAX_TOTAL:
        return Declined("not_integral", parameter="amount", total=account.total)
    back = last_of(taken, left, data.amount)
    direct, moved = _destinations(draft, back)
    live = {grant.no for grant in account.grants}
    new = sum(no not in live for no, _ in direct) + len(moved)
    if new and len(account.grants) + new > MAX_LIVE_GRANTS:
        return Declined("too_many_grants")
    if direct:
        _refund(draft, command, direct, None)
    for parent_no, part in moved:
        _refund_to_child(draft, command, parent_no, part)
    return None


def _taken(past: Past | None) -> Allocation:
    """What was charged, in the order it was consumed."""
    charges = past.charges if past else ()
    return tuple(part for data in charges for part in from_data(data["taken"]))


def last_of(taken: Allocation, left: int, amount: int) -> Allocation:
    """The last `amount` nanos of the first `left` nanos of what was taken, last first."""
    kept, _ = split(taken, left)
    _, back = split(kept, left - amount)
    return merged(back[::-1])


def _destinations(draft: Draft, back: Allocation) -> tuple[Allocation, Allocation]:
    """What returns to its own grant, and what moves on to a child because that has expired.

    What an expired grant still owes to a clawback goes back to it, to be taken at once.
    """
    direct: list[tuple[int, int]] = []
    moved: list[tuple[int, int]] = []
    for no, part in back:
        own = part
        if has_expired(lot_of(draft.state, no), draft.now.text):
            due = draft.account.dues.get(no)
            own = min(part, due.amount) if due else 0
        if own:
            direct.append((no, own))
        if part > own:
            moved.append((no, part - own))
    return tuple(direct), tuple(moved)


def has_expired(lot: Lot, now: str) -> bool:
    return lot.expires_at is not None and lot.expires_at <= now


def lot_of(state: State, no: int) -> Lot:
    """What a grant of the account was, live or spent. Raises LookupError when it is not known."""
    for grant in state.account.grants if state.account else ():
        if grant.no == no:
            return Lot(no, grant.source, grant.priority, grant.expires_at, grant.payment)
    return state.lots[no]


def _refund_to_child(draft: Draft, command: Refund, parent_no: int, part: int) -> None:
    account = draft.account
    no = account.next_grant_no
    child = {
        # In the order of the log's bytes: a repeat read from there gives the first reply.
        "expires_at": to_text(draft.now.at + CHILD_LIFE),
        "grant_id": grant_id(account.account_id, no),
        "grant_no": no,
        "parent_no": parent_no,
    }
    _refund(draft, command, ((no, part),), child)


def _refund(draft: Draft, command: Refund, to: Allocation, child: Data | None) -> None:
    """One movement. Several of one command bear one number; the fee goes back with the first."""
    data, past = command.data, draft.state.past or Past("unknown")
    refunded, amount = past.refunded, sum(part for _, part in to)
    number = refunded.number + (0 if _began(draft) else 1)
    draft.move(
        "CreditsRefunded",
        {
            "res": data.res,
            "refund_no": number,
            "amount": str(amount),
            "margin": str(margin_back(past, amount)),
            "whole": data.whole,
            "to": as_data(to),
            "child": child,
            "fee_reversed": past.accrued if data.whole else None,
            "reason_code": data.reason_code,
            "note_id": note_id(command),
        },
    )


def _began(draft: Draft) -> bool:
    return any(event.type == "CreditsRefunded" for event in draft.events)


def margin_back(past: Past, amount: int) -> int:
    """Cumulative, so that all parts together give back exactly the margin of the charge."""
    charge = sum(int(data["charge"]) for data in past.charges)
    margin = sum(int(data["margin"]) for data in past.charges)
    refunded = past.refunded
    return margin * (refunded.amount + amount) // charge - refunded.margin


def evolve_refunded(state: State, account: Account, data: Data) -> State:
    amount, child, past = int(data["amount"]), data["child"], state.past
    lots = dict(state.lots)
    if child is not None:
        parent = lot_of(state, child["parent_no"])
        no, expires_at = child["grant_no"], child["expires_at"]
        lots[no] = Lot(no, parent.source, parent.priority, expires_at, parent.payment)
        account = account._replace(next_grant_no=no + 1)
    known = State(state.account, state.reservation, past, lots)
    account = restored(known, account, from_data(data["to"]))
    if past is not None:
        refunded = past.refunded
        past = past._replace(
            refunded=Refunded(
                refunded.amount + amount, refunded.margin + int(data["margin"]), data["refund_no"]
            ),
            accrued=None if data["fee_reversed"] else past.accrued,
            fee=data["fee_reversed"] or past.fee,
        )
    return State(account, state.reservation, past, lots)


def restored(state: State, account: Account, parts: Allocation) -> Account:
    """The account with these parts available again; a grant that was spent is live again."""
    grants: dict[int, Grant] = {grant.no: grant for grant in account.grants}
    for no, part in parts:
        grant = grants.get(no)
        if grant is None:
            lot = state.lots[no]
            given: Any = (lot.priority, lot.expires_at, lot.payment)
            grant = Grant(no, lot.source, 0, 0, *given)
        grants[no] = grant._replace(available=grant.available + part)
    ordered = tuple(sorted(grants.values(), key=burn_order))
    return account._replace(
        available=account.available + sum(part for _, part in parts),
        grants=ordered,
        next_expiry=earliest_expiry(ordered),
    )
