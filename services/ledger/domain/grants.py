"""Grants: lots of credits, burnt by priority, then earliest expiry, then age (CRD-3)."""

import calendar
from collections.abc import Iterable
from datetime import datetime
from sys import intern
from typing import Any

from libs.events.commands import ExpireGrant, GrantCredits
from libs.events.money import MAX_TOTAL, is_integral
from libs.events.times import to_text
from services.ledger.domain.derived import derived_id
from services.ledger.domain.draft import Draft
from services.ledger.domain.notes import note_id
from services.ledger.domain.state import Account, Allocation, Data, Declined, Grant

MAX_LIVE_GRANTS = 200
NEVER = "~"  # sorts after every RFC 3339 text


def burn_order(grant: Grant) -> tuple[int, str, int]:
    return (grant.priority, grant.expires_at or NEVER, grant.no)


def allocate(grants: Iterable[Grant], amount: int) -> Allocation:
    """Take `amount` nanos of what is available, in burn order. The caller checked it is there."""
    taken = []
    left = amount
    for grant in grants:
        if left == 0:
            break
        if grant.available:
            part = min(grant.available, left)
            taken.append((grant.no, part))
            left -= part
    if left:
        raise ArithmeticError(f"grants hold {amount - left} of {amount} nanos")
    return tuple(taken)


def split(taken: Allocation, amount: int) -> tuple[Allocation, Allocation]:
    """The first `amount` nanos of an allocation, and the rest: what is consumed and returned."""
    used: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    left = amount
    for no, part in taken:
        first = min(part, left)
        left -= first
        if first:
            used.append((no, first))
        if part > first:
            rest.append((no, part - first))
    return tuple(used), tuple(rest)


def joined(taken: Allocation, more: Allocation) -> Allocation:
    """Two allocations one after the other; where they meet in one grant it stands once."""
    if taken and more and taken[-1][0] == more[0][0]:
        meeting = (taken[-1][0], taken[-1][1] + more[0][1])
        return (*taken[:-1], meeting, *more[1:])
    return taken + more


def merged(parts: Allocation) -> Allocation:
    """One entry a grant: the boundary grant stands in both the used and the returned part."""
    by_grant: dict[int, int] = {}
    for no, part in parts:
        by_grant[no] = by_grant.get(no, 0) + part
    return tuple(by_grant.items())


def shift(
    grants: tuple[Grant, ...], available: Allocation, reserved: Allocation
) -> tuple[Grant, ...]:
    """Add the (signed) parts to the grants they name; a grant with nothing left is dropped."""
    by_available = dict(available)
    by_reserved = dict(reserved)
    changed = []
    for grant in grants:
        more = by_available.get(grant.no, 0)
        held = by_reserved.get(grant.no, 0)
        if not more and not held:
            changed.append(grant)
            continue
        after = grant._replace(available=grant.available + more, reserved=grant.reserved + held)
        if after.available < 0 or after.reserved < 0:
            raise ArithmeticError(f"grant {grant.no} below zero")
        if after.available or after.reserved:
            changed.append(after)
    return tuple(changed)


def hold(grants: tuple[Grant, ...], taken: Allocation) -> tuple[Grant, ...]:
    """Move the parts from available to reserved, in the grants they name."""
    if len(taken) == 1 and grants[0].no == taken[0][0]:
        return (_held(grants[0], taken[0][1]), *grants[1:])
    parts = dict(taken)
    return tuple(
        [_held(grant, parts[grant.no]) if grant.no in parts else grant for grant in grants]
    )


def _held(grant: Grant, part: int) -> Grant:
    no, source, available, reserved, priority, expires_at, payment = grant
    if part > available:
        raise ArithmeticError(f"grant {no} below zero")
    return Grant(no, source, available - part, reserved + part, priority, expires_at, payment)


def negative(allocation: Allocation) -> Allocation:
    return tuple((no, -part) for no, part in allocation)


def as_data(allocation: Allocation) -> list[list[Any]]:
    return [[no, str(part)] for no, part in allocation]


def from_data(pairs: Iterable[Iterable[Any]]) -> Allocation:
    return tuple([(no, int(part)) for no, part in pairs])


def earliest_expiry(grants: Iterable[Grant]) -> str | None:
    """When the next grant with something available expires, None when none does."""
    return min((g.expires_at for g in grants if g.available and g.expires_at), default=None)


def grant_id(account_id: str, grant_no: int) -> str:
    """Derived, so that deciding needs no randomness: one id per account and number."""
    return derived_id("grant", f"{account_id}:{grant_no}")


def add_months(at: datetime, months: int) -> datetime:
    """The same day `months` later, or the last day of that month when it has no such day."""
    index = at.month - 1 + months
    year, month = at.year + index // 12, index % 12 + 1
    day = min(at.day, calendar.monthrange(year, month)[1])
    return at.replace(year=year, month=month, day=day)


def expire_due(draft: Draft, cause: str) -> None:
    """Expire what is due on the account, so that an expired grant is never spent (CRD-4)."""
    next_expiry = draft.account.next_expiry
    if next_expiry is None or next_expiry > draft.now.text:
        return
    for grant in draft.account.grants:
        if grant.available and grant.expires_at and grant.expires_at <= draft.now.text:
            data = {"grant_no": grant.no, "amount": str(grant.available), "cause": cause}
            draft.move("CreditsExpired", data)


def decide_grant(draft: Draft, command: GrantCredits) -> Declined | None:
    data = command.data
    account = draft.account
    if account.closed:
        return Declined("account_closed")
    if not is_integral(data.amount, account.unit):
        return Declined("not_integral", parameter="amount")
    if account.total + data.amount > MAX_TOTAL:
        return Declined("not_integral", parameter="amount", total=account.total)
    if len(account.grants) >= MAX_LIVE_GRANTS:
        return Declined("too_many_grants")
    expires_at = to_text(data.expires_at) if data.expires_at else None
    if expires_at is None and data.shelf_months:
        expires_at = to_text(add_months(draft.now.at, data.shelf_months))
    if expires_at is not None and expires_at <= draft.now.text:
        return Declined("grant_expired", until=expires_at, parameter="expires_at")
    draft.move(
        "CreditsGranted",
        granted(
            account,
            source=data.source,
            amount=data.amount,
            priority=data.priority,
            expires_at=expires_at,
            paid=data.paid.model_dump(mode="json") if data.paid else None,
            payment=data.payment,
            pack=data.pack,
            attempt_id=data.attempt_id,
            catalogue=data.catalogue,
            reason_code=data.reason_code,
            note_id=note_id(command),
        ),
    )
    return None


def decide_expiry(draft: Draft, command: ExpireGrant) -> Declined | None:
    """The timer of an idle account: expiring what is due has already happened when this runs."""
    del command
    return None if draft.events else Declined("unknown_grant")


def granted(account: Account, *, source: str, amount: int, **given: Any) -> Data:
    """The data of a CreditsGranted, every field present."""
    no = account.next_grant_no
    data: Data = {
        "grant_id": grant_id(account.account_id, no),
        "grant_no": no,
        "source": source,
        "amount": str(amount),
        "priority": 0,
        "expires_at": None,
        "paid": None,
        "payment": None,
        "pack": None,
        "attempt_id": None,
        "catalogue": None,
        "reason_code": None,
        "note_id": None,
    }
    data.update(given)
    return data


def evolve_granted(account: Account, data: Data) -> Account:
    amount = int(data["amount"])
    grant = Grant(
        no=data["grant_no"],
        source=intern(data["source"]),
        available=amount,
        reserved=0,
        priority=data["priority"],
        expires_at=data["expires_at"],
        payment=data["payment"],
    )
    grants = tuple(sorted((*account.grants, grant), key=burn_order))
    return account._replace(
        available=account.available + amount,
        grants=grants,
        next_grant_no=grant.no + 1,
        next_expiry=earliest_expiry(grants),
    )


def evolve_expired(account: Account, data: Data) -> Account:
    amount = int(data["amount"])
    grants = shift(account.grants, ((data["grant_no"], -amount),), ())
    return account._replace(
        available=account.available - amount,
        grants=grants,
        next_expiry=earliest_expiry(grants),
    )
