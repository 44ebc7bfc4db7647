"""One fold over the log, for verify, balance-at and the self-audit.

It shares nothing with the writer's classes: balances come from the postings of each event, and
grants, holds and keys from plain arithmetic on its data. What an event claims (its balances, the
hold it closes, its allocations) is compared with what the fold has, and told to `found`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from libs.events.postings import lines_of
from services.ledger.replay_calls import attached, calls_ended, detached, open_hold
from services.ledger.replay_catalogues import published, refuse_unsold
from services.ledger.replay_state import Account, Grant, Hold, Published, Refunds

Data = Mapping[str, Any]
Found = Callable[[str, object, object], None]
"""Told (column, what the event says, what the fold has)."""

NEVER_NEGATIVE: Final = "never negative"


class Fold:
    """The state of everything after the events applied so far. Amounts in nanos."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.accounts: dict[str, Account] = {}
        self.holds: dict[str, Hold] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.catalogues: dict[str, Published] = {}
        self.books: dict[tuple[str, str], int] = {}
        """Sum of all postings, by (unit, account of the books)."""

    def account(self, account_id: str, partition: int) -> Account:
        """The account, made empty when this is its first event."""
        known = self.accounts.get(account_id)
        if known is None:
            known = self.accounts[account_id] = Account(account_id, partition)
        return known

    def apply(self, account: Account, event: Data) -> None:
        """Apply one event's body. KeyError, TypeError or ValueError: its data is no such event."""
        kind, data = event["type"], event["data"]
        if account.unit is not None:
            if kind in MOVES:
                self._post(account, kind, data)
        elif kind not in FIRST:
            self.found("account_id", account.account_id, "an account opened by an earlier event")
        change = CHANGES.get(kind)
        if change is not None:
            change(self, account, event, data)

    def _post(self, account: Account, kind: str, data: Data) -> None:
        books, unit, total = self.books, account.unit or "", 0
        for name, amount in lines_of(kind, data):
            if amount:
                total += amount
                if name == "available":
                    account.available += amount
                elif name == "reserved":
                    account.reserved += amount
                key = (unit, name)
                books[key] = books.get(key, 0) + amount
        if total:
            self.found("postings", f"sum {total}", "sum 0")
        # From a wrong claim on the claim counts: one wrong event must not blame all that follow.
        account.available = self._claim(data, "available", account.available)
        account.reserved = self._claim(data, "reserved", account.reserved)
        if account.available < 0 or account.reserved < 0:
            self.found("balance", f"{account.available} / {account.reserved}", NEVER_NEGATIVE)

    def _claim(self, data: Data, name: str, computed: int) -> int:
        if data[name] != str(computed):
            self.found(f"data.{name}", data[name], str(computed))
            return int(data[name])
        return computed

    def grant(self, account: Account, no: int) -> Grant:
        """A grant of the account; one that was never granted is told, and made of nothing."""
        grant = account.grants.get(no)
        if grant is None:
            self.found(f"grant {no}", "named", "never granted")
            grant = account.grants[no] = Grant(no, "", 0, None, None)
        return grant

    def check(self, grant: Grant) -> None:
        """No part of a grant may be below zero."""
        if grant.available < 0 or grant.reserved < 0 or grant.charged < 0 or grant.clawed < 0:
            parts = (grant.available, grant.reserved, grant.charged, grant.clawed)
            self.found(f"grant {grant.no}", " / ".join(map(str, parts)), NEVER_NEGATIVE)


def parts(allocation: Iterable[tuple[int, str]]) -> dict[int, int]:
    """An allocation as nanos per grant."""
    of: dict[int, int] = {}
    for no, part in allocation:
        of[no] = of.get(no, 0) + int(part)
    return of


def _opened(_fold: Fold, account: Account, _event: Data, data: Data) -> None:
    account.unit, account.plan = data["unit"], data["plan"]


def _plan_changed(_fold: Fold, account: Account, _event: Data, data: Data) -> None:
    account.plan = data["plan"]


def _account_closed(_fold: Fold, account: Account, _event: Data, _data: Data) -> None:
    account.closed = True


def _frozen(_fold: Fold, account: Account, _event: Data, data: Data) -> None:
    if data["reason"] not in account.freezes:
        account.freezes.append(data["reason"])


def _unfrozen(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    account.freezes = [reason for reason in account.freezes if reason != data["reason"]]
    if data["still"] != account.freezes[: len(data["still"])]:
        fold.found("data.still", data["still"], account.freezes)


def _key_issued(fold: Fold, account: Account, event: Data, data: Data) -> None:
    fold.keys[data["key_id"]] = {
        **data,
        "account_id": account.account_id,
        "partition": account.partition,
        "position": event["position"],
        "status": "active",
    }
    if data["rotates"] is not None:
        fold.keys[data["rotates"]]["expires_at"] = data["old_expires_at"]


def _key_revoked(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    key = fold.keys.get(data["key_id"])
    if key is None or key["account_id"] != account.account_id:
        fold.found("data.key_id", data["key_id"], "a key of this account")
    else:
        key["status"] = "revoked"


def _granted(fold: Fold, account: Account, event: Data, data: Data) -> None:
    no, amount = data["grant_no"], int(data["amount"])
    if no in account.grants:
        fold.found("data.grant_no", no, "a number that was never used")
    given = (data["source"], data["priority"], data["expires_at"], data["payment"])
    grant = account.grants[no] = Grant(no, *given)
    grant.granted = grant.issued = grant.available = amount
    grant.position = event["position"]


def _reserved(fold: Fold, account: Account, event: Data, data: Data) -> None:
    res = data["res"]
    refuse_unsold(fold, event, data)
    if res in fold.holds:
        fold.found("data.res", res, "not open yet")
    hold = fold.holds[res] = Hold(account.account_id, event["position"])
    ceiling = data["attached_cost_ceiling"]
    hold.ceiling = None if ceiling is None else int(ceiling)
    _hold_more(fold, account, hold, data, int(data["amount"]))


def _extended(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    hold = open_hold(fold, account, data)
    if hold is None:
        return
    _hold_more(fold, account, hold, data, int(data["added"]))
    if int(data["total"]) != hold.amount:
        fold.found("data.total", data["total"], hold.amount)


def _hold_more(fold: Fold, account: Account, hold: Hold, data: Data, amount: int) -> None:
    allocation = parts(data["from"])
    if sum(allocation.values()) != amount:
        fold.found("data.from", sum(allocation.values()), amount)
    for no, part in allocation.items():
        grant = fold.grant(account, no)
        grant.available -= part
        grant.reserved += part
        fold.check(grant)
        hold.of[no] = hold.of.get(no, 0) + part
    hold.amount += amount
    hold.expires_at = data["expires_at"]


def _close(fold: Fold, account: Account, data: Data, amount: int) -> dict[int, int]:
    """Take the hold that an event closes; what it held of each grant."""
    hold = fold.holds.pop(data["res"], None)
    if hold is None or hold.account_id != account.account_id:
        fold.found("data.res", data["res"], "an open reservation of this account")
        return {}
    if hold.amount != amount:
        fold.found("data (the hold)", amount, hold.amount)
    return hold.of


def _charged(fold: Fold, account: Account, event: Data, data: Data) -> None:
    calls_ended(fold, event, data)
    hold, charge = int(data["reserved_was"]), int(data["charge"])
    late = hold == 0
    if late and data["res"] in fold.holds:
        fold.found("data.reserved_was", 0, fold.holds[data["res"]].amount)
    of = {} if late else _close(fold, account, data, hold)
    extra = _consume(fold, account, of, data, charge)
    if extra != int(data["extra"]):
        fold.found("data.extra", data["extra"], extra)


def _consume(fold: Fold, account: Account, of: dict[int, int], data: Data, charge: int) -> int:
    """Undo a hold: `taken` is charged, `returned` goes back. What was taken beyond the hold."""
    taken, returned, extra = parts(data["taken"]), parts(data["returned"]), 0
    if sum(taken.values()) != charge:
        fold.found("data.taken", sum(taken.values()), charge)
    for no in of.keys() | taken.keys() | returned.keys():
        held, used, back = of.get(no, 0), taken.get(no, 0), returned.get(no, 0)
        beyond = used + back - held
        if beyond < 0:
            fold.found(f"data.returned of grant {no}", back, held - used)
        extra += beyond
        grant = fold.grant(account, no)
        grant.reserved -= held
        grant.charged += used
        grant.available += back - beyond
        fold.check(grant)
    return extra


def _released(fold: Fold, account: Account, event: Data, data: Data) -> None:
    calls_ended(fold, event, data)
    of = _close(fold, account, data, int(data["amount"]))
    returned = parts(data["returned"])
    if returned != of:
        fold.found("data.returned", returned, of)
    for no, part in of.items():
        grant = fold.grant(account, no)
        grant.reserved -= part
        grant.available += part


def _hold_expired(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    of = _close(fold, account, data, int(data["amount"]))
    if _consume(fold, account, of, data, int(data["charge"])):
        fold.found("data.taken", data["charge"], "at most the hold")


def _refunded(fold: Fold, account: Account, event: Data, data: Data) -> None:
    to, child = parts(data["to"]), data["child"]
    if sum(to.values()) != int(data["amount"]):
        fold.found("data.to", sum(to.values()), data["amount"])
    if child is not None:
        _open_child(fold, account, child, to.get(child["grant_no"], 0), event["position"])
    before = account.refunds.get(data["res"], Refunds(0, 0, 0))
    if data["refund_no"] not in (before.number, before.number + 1):
        fold.found("data.refund_no", data["refund_no"], before.number + 1)
    account.refunds[data["res"]] = Refunds(
        before.amount + int(data["amount"]), before.margin + int(data["margin"]), data["refund_no"]
    )
    for no, part in to.items():
        grant = fold.grant(account, no)
        grant.charged -= part
        grant.available += part
        fold.check(grant)


def _open_child(fold: Fold, account: Account, child: Data, amount: int, position: int) -> None:
    """What a refund gives back to an expired grant moves into a new one."""
    parent = fold.grant(account, child["parent_no"])
    given = (parent.source, parent.priority, child["expires_at"], parent.payment)
    grant = account.grants[child["grant_no"]] = Grant(child["grant_no"], *given)
    grant.granted = grant.charged = amount
    grant.position = position
    parent.charged -= amount
    parent.moved += amount
    fold.check(parent)


def _grant_expired(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    grant, amount = fold.grant(account, data["grant_no"]), int(data["amount"])
    grant.available -= amount
    grant.expired += amount
    fold.check(grant)


def _clawed_back(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    if data["grant_no"] is None:
        return
    amount = int(data["amount"])
    _claw(fold, account, data, amount)
    if data["cause"] not in CORRECTIONS:
        grant = fold.grant(account, data["grant_no"])
        grant.claimed += amount
        grant.shortfall += int(data["shortfall"])
        grant.due = int(data["due"])
        grant.causes[data["cause"]] = int(data["target"])
        account.causes.add(data["cause"])
        if grant.due > grant.reserved:
            fold.found("data.due", grant.due, f"at most {grant.reserved}, what is reserved")


def _clawback_reversed(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    if data["grant_no"] is None:
        return
    amount = int(data["amount"])
    _claw(fold, account, data, -amount)
    grant = fold.grant(account, data["grant_no"])
    grant.claimed -= amount
    grant.shortfall -= int(data["shortfall_cancelled"])
    grant.due -= int(data["due_cancelled"])
    # It may give back on a grant of the payment what another claim took there.
    grant.causes.pop(data["cause"], None)
    if data["cause"] not in account.causes:
        fold.found("data.cause", data["cause"], "a claim on this account")
    if min(grant.claimed, grant.shortfall, grant.due) < 0:
        parts = (grant.claimed, grant.shortfall, grant.due)
        fold.found(f"claims on grant {grant.no}", " / ".join(map(str, parts)), NEVER_NEGATIVE)


def _claw(fold: Fold, account: Account, data: Data, amount: int) -> None:
    grant = fold.grant(account, data["grant_no"])
    grant.available -= amount
    grant.clawed += amount
    fold.check(grant)


Change = Callable[[Fold, Account, Data, Data], None]

CORRECTIONS = frozenset({"adjustment", "write_off"})
"""Causes that take an amount and claim nothing of a payment."""

FIRST = frozenset({"AccountOpened", "CataloguePublished", "IncarnationStarted"})
"""What may stand at the beginning of a stream."""

MOVES: Mapping[str, Change] = {
    "CreditsGranted": _granted,
    "CreditsReserved": _reserved,
    "ReservationExtended": _extended,
    "CreditsCharged": _charged,
    "CreditsReleased": _released,
    "ReservationExpired": _hold_expired,
    "CreditsRefunded": _refunded,
    "CreditsExpired": _grant_expired,
    "CreditsClawedBack": _clawed_back,
    "ClawbackReversed": _clawback_reversed,
}

CHANGES: Mapping[str, Change] = {
    **MOVES,
    "AccountOpened": _opened,
    "PlanChanged": _plan_changed,
    "AccountClosed": _account_closed,
    "AccountFrozen": _frozen,
    "AccountUnfrozen": _unfrozen,
    "KeyIssued": _key_issued,
    "KeyRevoked": _key_revoked,
    "CataloguePublished": published,
    "CallAttached": attached,
    "CallDetached": detached,
}
