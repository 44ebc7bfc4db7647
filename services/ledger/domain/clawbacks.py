"""Purchased credits taken back: what a grant still holds, never more than it gave (PAY-4, PAY-5).

A claim takes back what was returned of a payment, over all grants of that payment: first what is
available, then what is reserved (`due`, as soon as it comes back); what was spent is `shortfall`.
Several claims on one payment overlap: the largest counts. A correction takes a plain amount.
"""

from collections.abc import Iterable, Sequence

from libs.events.commands import Clawback, ReverseClawback
from libs.events.money import MAX_AMOUNT, MAX_TOTAL, NANOS, is_integral
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import MAX_LIVE_GRANTS, allocate, earliest_expiry, shift
from services.ledger.domain.refunds import restored
from services.ledger.domain.reservations import insufficient
from services.ledger.domain.state import Account, Data, Declined, Due, Grant, Lot, State

CORRECTIONS = frozenset({"adjustment", "write_off"})
"""Causes that take a plain amount; every other cause is a claim on a payment."""


def decide_clawback(draft: Draft, command: Clawback) -> Declined | None:
    if command.data.cause in CORRECTIONS:
        return _correct(draft, command)
    return _claim(draft, command)


def _correct(draft: Draft, command: Clawback) -> Declined | None:
    """Take an amount of one grant, or of all in the order they burn; only what is available."""
    data, account = command.data, draft.account
    if account.closed:
        return Declined("account_closed")
    if data.amount is None:
        return Declined("unknown_payment", parameter="amount")
    if not is_integral(data.amount, account.unit):
        return Declined("not_integral", parameter="amount")
    grants: Sequence[Grant] = account.grants
    if data.payment is not None:
        grants = [grant for grant in grants if grant.payment == data.payment]
        if not grants:
            return Declined("unknown_payment")
    if data.grant_no is not None:
        grants = [grant for grant in grants if grant.no == data.grant_no]
        if not grants:
            return Declined("unknown_grant")
    if sum(grant.available for grant in grants) < data.amount:
        return insufficient(account, data.amount)
    payments = {grant.no: grant.payment for grant in grants}
    for no, part in allocate(grants, data.amount):
        _take(draft, data.cause, payments[no], no, target=part, amount=part)
    return None


def _take(
    draft: Draft,
    cause: str,
    payment: str | None,
    no: int,
    *,
    target: int,
    amount: int = 0,
    due: int = 0,
    shortfall: int = 0,
) -> None:
    """`due` is what the grant owes after this event; amount and shortfall are new."""
    data = taking(cause, payment, no, target)
    data.update(amount=str(amount), due=str(due), shortfall=str(shortfall))
    draft.move("CreditsClawedBack", data)


def taking(cause: str, payment: str | None, no: int, amount: int) -> Data:
    """The data of a CreditsClawedBack that takes all of its target at once."""
    return {
        "cause": cause,
        "payment": payment,
        "grant_no": no,
        "target": str(amount),
        "amount": str(amount),
        "due": "0",
        "shortfall": "0",
    }


def _claim(draft: Draft, command: Clawback) -> Declined | None:
    """Raise what is claimed of a payment to the largest of its claims; nothing if it is there."""
    data, account = command.data, draft.account
    lots = _of_payment(draft.state, data.payment)
    if not lots:
        return Declined("unknown_payment")
    if data.grant_no is not None and data.grant_no not in {lot.no for lot in lots}:
        return Declined("unknown_grant", parameter="grant_no")
    if data.amount is not None and not is_integral(data.amount, account.unit):
        return Declined("not_integral", parameter="amount")
    causes = _causes(lots)
    target = max(_target(command, lots, account.unit), causes.get(data.cause, 0))
    causes[data.cause] = target
    need = max(0, max(causes.values()) - _claimed(account, lots))
    takes, dues, lost = _spread(account, lots, need)
    changed = {*takes, *dues} | ({lots[0].no} if lost or not (takes or dues) else set())
    for no in sorted(changed):
        due = account.dues.get(no)
        _take(
            draft, data.cause, data.payment, no, target=target, amount=takes.get(no, 0),
            due=dues.get(no, 0) + (due.amount if due else 0),
            shortfall=lost if no == lots[0].no else 0,
        )  # fmt: skip
    return None


def _target(command: Clawback, lots: Iterable[Lot], unit: str) -> int:
    """What this claim takes of the payment: the returned part of what was granted for it."""
    data, granted = command.data, min(MAX_AMOUNT, sum(lot.granted for lot in lots))
    if data.returned is None or data.paid is None:
        return min(data.amount or 0, granted)
    target = granted * min(data.returned, data.paid) // data.paid
    return target if is_integral(target, unit) else target - target % NANOS


def _of_payment(state: State, payment: str | None) -> list[Lot]:
    if payment is None:
        return []
    return sorted(lot for lot in state.lots.values() if lot.payment == payment)


def _causes(lots: Iterable[Lot]) -> dict[str, int]:
    """The claims on a payment and what each takes of it."""
    causes: dict[str, int] = {}
    for lot in lots:
        for cause, target in lot.causes:
            causes[cause] = max(target, causes.get(cause, 0))
    return causes


def _claimed(account: Account, lots: Iterable[Lot]) -> int:
    """What all claims together took, wait for, and lost."""
    dues = account.dues
    return sum(
        lot.clawed + lot.shortfall + (dues[lot.no].amount if lot.no in dues else 0) for lot in lots
    )


def _spread(
    account: Account, lots: Iterable[Lot], need: int
) -> tuple[dict[int, int], dict[int, int], int]:
    """Over the payment's grants: what to take now, what more to wait for, and what is lost."""
    numbers = {lot.no for lot in lots}
    live = [grant for grant in account.grants if grant.no in numbers]
    takes: dict[int, int] = {}
    dues: dict[int, int] = {}
    for grant in live:
        if part := min(grant.available, need):
            takes[grant.no] = part
            need -= part
    for grant in live:
        due = account.dues.get(grant.no)
        if part := min(grant.reserved - (due.amount if due else 0), need):
            dues[grant.no] = part
            need -= part
    return takes, dues, need


def collect(draft: Draft) -> None:
    """What came back pays what is due, before anything else; what was consumed is lost."""
    for payment in sorted({due.payment or "" for due in draft.account.dues.values()}):
        _collect(draft, payment)


def _collect(draft: Draft, payment: str) -> None:
    account = draft.account
    dues = {no: due for no, due in account.dues.items() if due.payment == payment}
    reserved = {grant.no: grant.reserved for grant in account.grants}
    takes, left = _takes(account, payment, dues)
    claim = max(dues.values(), key=lambda due: due.target)
    for no in sorted({*takes, *dues}):
        keep = min(left.get(no, 0), reserved.get(no, 0))
        lost = left.get(no, 0) - keep
        was = dues[no].amount if no in dues else 0
        if takes.get(no) or lost or keep != was:
            named = dues.get(no, claim)
            _take(
                draft, named.cause, payment, no, target=named.target, amount=takes.get(no, 0),
                due=keep, shortfall=lost,
            )  # fmt: skip


def _takes(
    account: Account, payment: str, dues: dict[int, Due]
) -> tuple[dict[int, int], dict[int, int]]:
    """What is taken of each grant, and what each still owes: its own debt first, then by number."""
    left = {no: due.amount for no, due in dues.items()}
    takes: dict[int, int] = {}
    back = {g.no: g.available for g in account.grants if g.payment == payment and g.available}
    own = [(no, no) for no in back]
    other = [(no, owing) for no in back for owing in sorted(left) if owing != no]
    for no, owing in own + other:
        if part := min(back[no], left.get(owing, 0)):
            takes[no] = takes.get(no, 0) + part
            back[no] -= part
            left[owing] -= part
    return takes, left


def decide_reverse(draft: Draft, command: ReverseClawback) -> Declined | None:
    """Give back what only this claim took: first what is due, then the loss, then credits."""
    cause = command.data.cause
    if draft.account.closed:
        return Declined("account_closed")
    lots = [lot for lot in draft.state.lots.values() if any(c == cause for c, _ in lot.causes)]
    if not lots:
        return Declined("unknown_cause")
    for payment in sorted({lot.payment or "" for lot in lots}):
        _reverse(draft, cause, payment)
    if len(draft.account.grants) > MAX_LIVE_GRANTS:
        return Declined("too_many_grants")
    if draft.account.total > MAX_TOTAL:
        return Declined("not_integral", total=MAX_TOTAL)
    return None


def _reverse(draft: Draft, cause: str, payment: str) -> None:
    account, lots = draft.account, _of_payment(draft.state, payment)
    causes = _causes(lots)
    causes.pop(cause)
    surplus = max(0, _claimed(account, lots) - max(causes.values(), default=0))
    owed = {no: due.amount for no, due in account.dues.items()}
    cancelled, surplus = _part(surplus, {lot.no: owed.get(lot.no, 0) for lot in lots})
    found, surplus = _part(surplus, {lot.no: lot.shortfall for lot in lots})
    back, _ = _part(surplus, {lot.no: lot.clawed for lot in lots})
    for lot in lots:
        no = lot.no
        if cancelled[no] or found[no] or back[no] or any(c == cause for c, _ in lot.causes):
            draft.move(
                "ClawbackReversed",
                {
                    "cause": cause,
                    "payment": payment,
                    "grant_no": no,
                    "amount": str(back[no]),
                    "due_cancelled": str(cancelled[no]),
                    "shortfall_cancelled": str(found[no]),
                },
            )
    _rename(draft, cause, causes, payment)


def _part(left: int, limits: dict[int, int]) -> tuple[dict[int, int], int]:
    """Up to `left` nanos spread over the grants, each up to its limit, and what remains."""
    parts: dict[int, int] = {}
    for no, limit in limits.items():
        parts[no] = min(left, limit)
        left -= parts[no]
    return parts, left


def _rename(draft: Draft, cause: str, causes: dict[str, int], payment: str) -> None:
    """What remains due is due for the largest claim that stands."""
    for no, due in sorted(draft.account.dues.items()):
        if due.payment == payment and due.cause == cause:
            other = max(causes, key=lambda name: (causes[name], name))
            _take(draft, other, payment, no, target=causes[other], due=due.amount)


def evolve_clawed(account: Account, data: Data) -> Account:
    amount, no = int(data["amount"]), data["grant_no"]
    if data["cause"] not in CORRECTIONS:
        account = _with_due(account, data, no)
    if not amount:
        return account
    grants = shift(account.grants, ((no, -amount),), ())
    return account._replace(
        available=account.available - amount, grants=grants, next_expiry=earliest_expiry(grants)
    )


def _with_due(account: Account, data: Data, no: int) -> Account:
    due, before = int(data["due"]), account.dues.get(no)
    if not due and before is None:
        return account
    dues = {other: kept for other, kept in account.dues.items() if other != no}
    if due and before is not None and before.target > int(data["target"]):
        dues[no] = before._replace(amount=due)  # named after the largest claim
    elif due:
        dues[no] = Due(due, data["cause"], int(data["target"]), data["payment"])
    return account._replace(dues=dues)


def evolve_reversed(state: State, account: Account, data: Data) -> State:
    no, amount, cancelled = data["grant_no"], int(data["amount"]), int(data["due_cancelled"])
    dues = dict(account.dues)
    if no in dues:
        due = dues.pop(no)
        # Its name is gone with the claim: whatever claim comes next gives it one.
        target = 0 if due.cause == data["cause"] else due.target
        if due.amount > cancelled:
            dues[no] = due._replace(amount=due.amount - cancelled, target=target)
    account = account._replace(dues=dues)
    if amount:
        account = restored(state, account, ((no, amount),))
    return State(account, state.reservation, state.past, state.lots)
