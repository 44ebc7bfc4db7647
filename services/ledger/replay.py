"""One fold over the log, for verify, balance-at and the self-audit.

It shares nothing with the writer's classes: balances come from the postings of each event, and
grants, holds and keys from plain arithmetic on its data. What an event claims (its balances, the
hold it closes, its allocations) is compared with what the fold has, and told to `found`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libs.events.ids import stream_uuid
from libs.events.postings import postings

Data = Mapping[str, Any]
Found = Callable[[str, object, object], None]
"""Told (column, what the event says, what the fold has)."""


class Grant:
    """granted = available + reserved + charged + expired + clawed + moved, at every position."""

    __slots__ = (
        "available", "charged", "clawed", "expired", "expires_at", "granted", "moved", "no",
        "payment", "priority", "reserved", "source",
    )  # fmt: skip

    def __init__(
        self, no: int, source: str, priority: int, expires_at: str | None, payment: str | None
    ) -> None:
        self.no = no
        self.source = source
        self.priority = priority
        self.expires_at = expires_at
        self.payment = payment
        self.granted = self.available = self.reserved = 0
        self.charged = self.expired = self.clawed = self.moved = 0

    @property
    def left_over(self) -> int:
        """What the conservation of this grant does not explain: 0, or the fold found an error."""
        spent = self.charged + self.expired + self.clawed + self.moved
        return self.granted - self.available - self.reserved - spent


class Hold:
    """An open reservation: what it holds, in all and of each grant."""

    __slots__ = ("account_id", "amount", "expires_at", "of", "position")

    def __init__(self, account_id: str, position: int) -> None:
        self.account_id = account_id
        self.position = position
        self.amount = 0
        self.expires_at = ""
        self.of: Counter[int] = Counter()


class Account:
    """Where one account (or the partition's own stream) stands after the events so far."""

    __slots__ = (
        "account_id", "available", "closed", "freezes", "grants", "head", "partition", "plan",
        "position", "reserved", "unit", "uuid", "version",
    )  # fmt: skip

    def __init__(self, account_id: str, partition: int) -> None:
        self.account_id = account_id
        self.uuid = stream_uuid(account_id)
        self.partition = partition
        self.unit: str | None = None
        self.plan: str | None = None
        self.closed = False
        self.freezes: list[str] = []
        self.grants: dict[int, Grant] = {}
        self.available = self.reserved = 0
        self.version = self.position = 0
        self.head = bytes(32)

    @property
    def status(self) -> str:
        if self.closed:
            return "closed"
        return "frozen" if self.freezes else "open"

    @property
    def next_expiry(self) -> str | None:
        """When the next grant with something available expires."""
        due = [g.expires_at for g in self.grants.values() if g.available and g.expires_at]
        return min(due, default=None)


class Fold:
    """The state of everything after the events applied so far. Amounts in nanos."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.accounts: dict[str, Account] = {}
        self.holds: dict[str, Hold] = {}
        self.keys: dict[str, dict[str, Any]] = {}
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
        books, total = self.books, 0
        for name, amount, unit in postings(kind, data, account.unit or ""):
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
            self.found("balance", f"{account.available} / {account.reserved}", "never negative")

    def _claim(self, data: Data, name: str, computed: int) -> int:
        if data[name] != str(computed):
            self.found(f"data.{name}", data[name], str(computed))
            return int(data[name])
        return computed

    def move(self, account: Account, no: int, **amounts: int) -> None:
        """Add signed amounts to a grant's parts; none of them may end below zero."""
        grant = account.grants.get(no)
        if grant is None:
            self.found(f"grant {no}", "named", "never granted")
            return
        for part, amount in amounts.items():
            value = getattr(grant, part) + amount
            if value < 0:
                self.found(f"grant {no} {part}", value, "never negative")
            setattr(grant, part, value)


def parts(allocation: Iterable[tuple[int, str]]) -> Counter[int]:
    """An allocation as nanos per grant."""
    of: Counter[int] = Counter()
    for no, part in allocation:
        of[no] += int(part)
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


def _unfrozen(_fold: Fold, account: Account, _event: Data, data: Data) -> None:
    account.freezes = list(data["still"])


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


def _granted(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    no, amount = data["grant_no"], int(data["amount"])
    if no in account.grants:
        fold.found("data.grant_no", no, "a number that was never used")
    given = (data["source"], data["priority"], data["expires_at"], data["payment"])
    grant = account.grants[no] = Grant(no, *given)
    grant.granted = grant.available = amount


def _reserved(fold: Fold, account: Account, event: Data, data: Data) -> None:
    res = data["res"]
    if res in fold.holds:
        fold.found("data.res", res, "not open yet")
    hold = fold.holds[res] = Hold(account.account_id, event["position"])
    _hold_more(fold, account, hold, data, int(data["amount"]))


def _extended(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    hold = fold.holds.get(data["res"])
    if hold is None or hold.account_id != account.account_id:
        fold.found("data.res", data["res"], "an open reservation of this account")
        return
    _hold_more(fold, account, hold, data, int(data["added"]))
    if int(data["total"]) != hold.amount:
        fold.found("data.total", data["total"], hold.amount)


def _hold_more(fold: Fold, account: Account, hold: Hold, data: Data, amount: int) -> None:
    allocation = parts(data["from"])
    if allocation.total() != amount:
        fold.found("data.from", allocation.total(), amount)
    for no, part in allocation.items():
        fold.move(account, no, available=-part, reserved=part)
    hold.amount += amount
    hold.expires_at = data["expires_at"]
    hold.of.update(allocation)


def _close(fold: Fold, account: Account, data: Data, amount: int) -> Counter[int]:
    """Take the hold that an event closes; what it held of each grant."""
    hold = fold.holds.pop(data["res"], None)
    if hold is None or hold.account_id != account.account_id:
        fold.found("data.res", data["res"], "an open reservation of this account")
        return Counter()
    if hold.amount != amount:
        fold.found("data (the hold)", amount, hold.amount)
    return hold.of


def _charged(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    hold, charge = int(data["reserved_was"]), int(data["charge"])
    late = hold == 0
    if late and data["res"] in fold.holds:
        fold.found("data.reserved_was", 0, fold.holds[data["res"]].amount)
    of = Counter[int]() if late else _close(fold, account, data, hold)
    extra = _consume(fold, account, of, data, charge)
    if extra != int(data["extra"]):
        fold.found("data.extra", data["extra"], extra)


def _consume(fold: Fold, account: Account, of: Counter[int], data: Data, charge: int) -> int:
    """Undo a hold: `taken` is charged, `returned` goes back. What was taken beyond the hold."""
    taken, returned, extra = parts(data["taken"]), parts(data["returned"]), 0
    if taken.total() != charge:
        fold.found("data.taken", taken.total(), charge)
    for no in of.keys() | taken.keys() | returned.keys():
        beyond = taken[no] + returned[no] - of[no]
        if beyond < 0:
            fold.found(f"data.returned of grant {no}", returned[no], of[no] - taken[no])
        extra += beyond
        back = returned[no] - beyond
        fold.move(account, no, reserved=-of[no], charged=taken[no], available=back)
    return extra


def _released(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    of = _close(fold, account, data, int(data["amount"]))
    returned = parts(data["returned"])
    if returned != of:
        fold.found("data.returned", dict(returned), dict(of))
    for no, part in of.items():
        fold.move(account, no, reserved=-part, available=part)


def _hold_expired(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    of = _close(fold, account, data, int(data["amount"]))
    if _consume(fold, account, of, data, int(data["charge"])):
        fold.found("data.taken", data["charge"], "at most the hold")


def _refunded(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    to, child = parts(data["to"]), data["child"]
    if to.total() != int(data["amount"]):
        fold.found("data.to", to.total(), data["amount"])
    if child is not None:
        parent = account.grants[child["parent_no"]]
        given = (parent.source, parent.priority, child["expires_at"], parent.payment)
        grant = account.grants[child["grant_no"]] = Grant(child["grant_no"], *given)
        grant.granted = grant.charged = to[grant.no]
        fold.move(account, parent.no, charged=-to[grant.no], moved=to[grant.no])
    for no, part in to.items():
        fold.move(account, no, charged=-part, available=part)


def _grant_expired(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    amount = int(data["amount"])
    fold.move(account, data["grant_no"], available=-amount, expired=amount)


def _clawed_back(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    if data["grant_no"] is not None:
        amount = int(data["amount"])
        fold.move(account, data["grant_no"], available=-amount, clawed=amount)


def _clawback_reversed(fold: Fold, account: Account, _event: Data, data: Data) -> None:
    if data["grant_no"] is not None:
        amount = int(data["amount"])
        fold.move(account, data["grant_no"], clawed=-amount, available=amount)


Change = Callable[[Fold, Account, Data, Data], None]

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
}
