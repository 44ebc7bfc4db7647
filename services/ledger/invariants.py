"""What must hold of every log, whoever wrote it: written once, used by simulation, tests and audit.

The fold of replay compares what each event claims with the postings; here stands what no single
event can show: the chain, a reservation's one life, caps over many holds, the fee ledger, and
that grants and holds add up to the balances. A grant is conserved as the fold keeps it: every
event moves between its parts, so what can go wrong is a part below zero, or a sum.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from libs.events.chain import GENESIS
from libs.events.upcasters import newest
from services.ledger.replay import Fold
from services.ledger.replay_state import Account

Body = dict[str, Any]
"""An event's body, parsed."""


class Broken(NamedTuple):
    """An invariant that does not hold: its name, the position that shows it, and the numbers."""

    invariant: str
    position: int
    account_id: str
    found: str
    expected: str


class Life(NamedTuple):
    """What became of a reservation so far; amounts in nanos."""

    account_id: str
    state: str
    held: int
    paid: int
    fee: int
    """Minor units of the fee that stand accrued."""
    key_id: str
    day: str
    counts: tuple[str, ...]
    """The counters it counts in: the lineage of a capped key, the account's own."""


class Invariants:
    """Takes the events of one partition in the order of the log; `broken` is what does not hold."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self.fold = Fold(self._found)
        self.position = 0
        self.lives: dict[str, Life] = {}
        self.fees: dict[str, int] = {}
        """Minor units of the fees that stand accrued, by account."""
        self._at = ""
        self._incarnation = 0
        self._account_id = ""
        self._reserved: dict[str, int] = {}
        self._limits: dict[str, Body] = {}
        self._spent: dict[tuple[str, str], int] = {}

    def apply(self, body: Body) -> None:
        """Check one event against everything before it."""
        self._follow(body)
        account = self.fold.account(body["account_id"], body["partition"])
        self._link(account, body)
        account.version, account.position = body["version"], body["position"]
        account.head = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
        body = newest(body)
        self.fold.apply(account, body)
        if body["type"] == "SpendLimitsSet":
            self._limits[body["account_id"]] = body["data"]
        elif body["type"] in LIVES:
            self._live(account, body["type"], body["data"])

    def finish(self) -> list[Broken]:
        """Compare the sums of the whole log, and tell everything that does not hold."""
        sums: dict[str, int] = {}
        for (unit, _), amount in self.fold.books.items():
            sums[unit] = sums.get(unit, 0) + amount
        for unit, amount in sums.items():
            self._hold("books sum to zero", amount == 0, f"{amount} {unit}", "0")
        for account in self.fold.accounts.values():
            self._account_id = account.account_id
            self._add_up(account)
        return self.broken

    def _add_up(self, account: Account) -> None:
        grants = account.grants.values()
        for name in ("available", "reserved"):
            total, of_grants = getattr(account, name), sum(getattr(g, name) for g in grants)
            self._hold(f"grants add up to {name}", of_grants == total, of_grants, total)

    def _hold(self, invariant: str, holds: bool, found: object, expected: object) -> None:
        if not holds:
            self.broken.append(
                Broken(invariant, self.position, self._account_id, str(found), str(expected))
            )

    def _found(self, column: str, says: object, has: object) -> None:
        self._hold(column, False, says, has)

    def _follow(self, body: Body) -> None:
        """The log of a partition: no gap, no step back."""
        position, at = body["position"], body["occurred_at"]
        self._account_id = body["account_id"]
        expected, self.position = self.position + 1, position
        self._hold("positions are contiguous", position == expected, position, expected)
        self._hold("time never runs backwards", at >= self._at, at, self._at)
        self._at = at
        incarnation = body["incarnation"]
        rising = incarnation >= self._incarnation
        self._hold("incarnations never fall", rising, incarnation, self._incarnation)
        self._incarnation = incarnation

    def _link(self, account: Account, body: Body) -> None:
        """The chain of an account: each body names the one before it."""
        version, prev = account.version + 1, account.head.hex() if account.version else GENESIS
        self._hold("versions are contiguous", body["version"] == version, body["version"], version)
        self._hold("the chain is whole", body["prev"] == prev, body["prev"], prev)

    def _live(self, account: Account, kind: str, data: Body) -> None:
        res = data["res"]
        life = self.lives.get(res)
        if life is None or life.account_id != account.account_id:
            opens = life is None and kind == "CreditsReserved"
            self._hold("a reservation is opened first, by its account", opens, kind, res)
            if opens:
                self.lives[res] = self._opened(account, data)
        else:
            self.lives[res] = self._went_on(account, life, kind, data)
        held = self._reserved.get(account.account_id, 0)
        self._hold(
            "open reservations add up to reserved", held == account.reserved, held, account.reserved
        )

    def _opened(self, account: Account, data: Body) -> Life:
        counts = []
        key = self.fold.keys.get(data["key_id"])
        if key is not None and any(key[cap] is not None for cap in CAPS):
            counts.append(key["lineage"])
        if _limited(self._limits.get(account.account_id)):
            counts.append(account.account_id)
        amount, day = int(data["amount"]), data["windows"]["day"]
        fee = self._fee(account, data["fee"])
        life = Life(account.account_id, "open", 0, 0, fee, data["key_id"], day, tuple(counts))
        return self._taken(account, life, amount)

    def _taken(self, account: Account, life: Life, amount: int) -> Life:
        life = self._moved(life, held=amount)
        if amount:
            self._caps(account, life.key_id)
        return life

    def _went_on(self, account: Account, life: Life, kind: str, data: Body) -> Life:
        now, after = life.state, LIVES[kind]
        possible = (now, kind) in ALLOWED
        self._hold("a reservation ends once", possible, f"{kind} of an {now} one", "open")
        if kind == "CreditsReserved":
            return life
        if kind == "ReservationExtended":
            return self._taken(account, life, int(data["added"]))
        if kind == "CreditsRefunded":
            return self._refunded(account, life, data)
        return self._ended(account, life, kind, data)._replace(state=after)

    def _ended(self, account: Account, life: Life, kind: str, data: Body) -> Life:
        """Released, settled, expired, or settled late: what is paid, and whether the fee stands."""
        late = life.state == "expired"
        charge, hold = int(data.get("charge", 0)), int(data.get("reserved_was", 0))
        if late:
            # What an expired hold paid, and what its late settlement takes, is bounded by it.
            paid = life.paid + charge
            self._hold("a late charge is within the hold", paid <= life.held, paid, life.held)
        elif kind == "CreditsCharged":
            bound = hold - sum(int(part) for _, part in data["returned"]) + int(data["extra"])
            self._hold("a charge is what hold and balance gave", charge == bound, charge, bound)
        life = self._moved(life, held=0 if late else -life.held, paid=charge, close=not late)
        return self._fee_after(account, life, data)

    def _fee_after(self, account: Account, life: Life, data: Body) -> Life:
        reversed_, again = data.get("fee_reversed"), data.get("fee")
        if reversed_ is not None:
            back = -self._fee(account, reversed_, sign=-1)
            self._hold("a fee is given back once", back == life.fee, back, life.fee)
            life = life._replace(fee=life.fee - back)
        if again is not None:
            self._hold("a fee accrues once", life.fee == 0, life.fee, 0)
            life = life._replace(fee=life.fee + self._fee(account, again))
        return life

    def _fee(self, account: Account, fee: Body | None, sign: int = 1) -> int:
        minor = sign * int(fee["minor"]) if fee is not None else 0
        self.fees[account.account_id] = self.fees.get(account.account_id, 0) + minor
        return minor

    def _refunded(self, account: Account, life: Life, data: Body) -> Life:
        amount = int(data["amount"])
        within = amount <= life.paid
        self._hold("refunds stay within the charge", within, amount, life.paid)
        return self._fee_after(account, life._replace(paid=life.paid - amount), data)

    def _moved(self, life: Life, *, held: int, paid: int = 0, close: bool = False) -> Life:
        """Count a change of what is held and paid, also in the windows of the hold's caps."""
        reserved = self._reserved.get(life.account_id, 0)
        self._reserved[life.account_id] = reserved + held
        change = held + (paid if life.state == "open" else 0)
        for name in life.counts:
            for window in ("", life.day[:7], life.day):
                spent = self._spent.get((name, window), 0)
                self._spent[name, window] = spent + change
        # The hold is remembered when it ends: it bounds a late charge.
        return life._replace(held=life.held if close else life.held + held, paid=life.paid + paid)

    def _caps(self, account: Account, key_id: str) -> None:
        """No hold is given beyond a cap; what a settlement takes beyond its hold may exceed it."""
        labels = {"total": "", "day": self._at[:10], "month": self._at[:7]}
        key, limits = self.fold.keys.get(key_id, {}), self._limits.get(account.account_id, {})
        caps = [(key.get("lineage", ""), name, key.get(f"cap_{name}")) for name in labels]
        caps += [(account.account_id, name, limits.get(name)) for name in ("day", "month")]
        for counter, name, cap in caps:
            if cap is not None:
                spent = self._spent.get((counter, labels[name]), 0)
                self._hold(f"the cap of a {name} holds", spent <= int(cap), spent, cap)


def check(bodies: Iterable[Body]) -> list[Broken]:
    """Everything that does not hold of these events: a partition's log from its beginning."""
    invariants = Invariants()
    for body in bodies:
        invariants.apply(body)
    return invariants.finish()


def _limited(limits: Body | None) -> bool:
    return limits is not None and (limits["day"] is not None or limits["month"] is not None)


CAPS = ("cap_total", "cap_day", "cap_month")

LIVES: Mapping[str, str] = {
    "CreditsReserved": "open",
    "ReservationExtended": "open",
    "CreditsCharged": "settled",
    "CreditsReleased": "released",
    "ReservationExpired": "expired",
    "CreditsRefunded": "",
}
"""The events of a reservation's life, and how it stands after them (a refund changes nothing)."""

ALLOWED = frozenset(
    {
        ("open", "ReservationExtended"),
        ("open", "CreditsCharged"),
        ("open", "CreditsReleased"),
        ("open", "ReservationExpired"),
        ("expired", "CreditsCharged"),
        ("settled", "CreditsRefunded"),
        ("expired", "CreditsRefunded"),
    }
)
"""What may happen to a reservation as it stands."""
