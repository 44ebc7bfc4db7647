"""The lives of reservations: each is opened once and ends once, within its hold, caps and fee.

Written for the whole log of a partition, whoever wrote it; what no single event can show.
"""

from collections.abc import Callable, Mapping
from typing import Any

from services.ledger.replay_state import Account

Data = Mapping[str, Any]
Tell = Callable[[str, object, object], None]
"""Told (invariant, what was found, what was expected)."""


class Life:
    """What became of a reservation so far; amounts in nanos."""

    __slots__ = ("account_id", "counts", "day", "fee", "held", "key_id", "paid", "state")

    def __init__(self, account_id: str, data: Data, counts: tuple[str, ...]) -> None:
        self.account_id = account_id
        self.state = "open"
        self.held = self.paid = 0
        self.fee = 0
        """Minor units of the fee that stand accrued."""
        self.key_id: str = data["key_id"]
        self.day: str = data["windows"]["day"]
        self.counts = counts
        """The counters it counts in: the lineage of a capped key, the account's own."""


class Lives:
    """Follows every reservation of a partition.

    With `forget`, what was settled or released is forgotten, so that memory follows the open holds
    and not the log: refunds of a charge are then compared with nothing (the audit compares them
    with the receipts), and a second life under the same id is not seen (its command is a row of
    ledger.commands already).
    """

    def __init__(self, tell: Tell, keys: Mapping[str, Data], *, forget: bool) -> None:
        self.fees: dict[str, int] = {}
        """Minor units of the fees that stand accrued, by account."""
        self._tell = tell
        self._keys = keys
        self._forget = forget
        self._lives: dict[str, Life] = {}
        self._limits: dict[str, Data] = {}
        self._spent: dict[tuple[str, str], int] = {}
        self._month = ""

    def limit(self, account_id: str, data: Data) -> None:
        """The owner set limits, or lifted them."""
        self._limits[account_id] = data

    def apply(self, account: Account, kind: str, data: Data, at: str) -> None:
        """One event of a reservation, of a kind in `LIVES`, at a time of the log."""
        res = data["res"]
        life = self._lives.get(res)
        if life is None and kind == "CreditsReserved":
            self._open(account, res, data, at)
        elif life is not None and life.account_id == account.account_id:
            self._go_on(account, life, kind, data, at)
        elif life is None and self._forget and kind == "CreditsRefunded":
            self._fee(account, data["fee_reversed"], -1)
        else:
            self._tell("a reservation is opened first, by its account", kind, res)
        if account.held != account.reserved:
            self._tell("open reservations add up to reserved", account.held, account.reserved)

    def _open(self, account: Account, res: str, data: Data, at: str) -> None:
        counts: tuple[str, ...] = ()
        key = self._keys.get(data["key_id"])
        if key is not None and any(key[cap] is not None for cap in CAPS):
            counts = (key["lineage"],)
        if _limited(self._limits.get(account.account_id)):
            counts = (*counts, account.account_id)
        life = self._lives[res] = Life(account.account_id, data, counts)
        if data["fee"] is not None:
            life.fee = self._fee(account, data["fee"])
        self._take(account, life, int(data["amount"]), at)

    def _go_on(self, account: Account, life: Life, kind: str, data: Data, at: str) -> None:
        if (life.state, kind) not in ALLOWED:
            self._tell("a reservation ends once", f"{kind} of an {life.state} one", "open")
        if kind == "ReservationExtended":
            self._take(account, life, int(data["added"]), at)
        elif kind == "CreditsRefunded":
            self._refund(account, life, data)
        elif kind not in CALLS | {"CreditsReserved"}:
            self._end(account, life, kind, data)
            life.state = LIVES[kind]
            if self._forget and life.state != "expired":
                del self._lives[data["res"]]

    def _take(self, account: Account, life: Life, amount: int, at: str) -> None:
        self._move(account, life, amount)
        if amount and (life.counts or life.account_id in self._limits):
            self._check_caps(life, at)

    def _end(self, account: Account, life: Life, kind: str, data: Data) -> None:
        """Released, settled, expired, or settled late: what is paid, and whether the fee stands."""
        late, charge = life.state == "expired", int(data.get("charge", 0))
        if late:
            # What an expired hold paid, and what its late settlement takes, is bounded by it.
            paid = life.paid + charge
            if paid > life.held:
                self._tell("a late charge is within the hold", paid, life.held)
        elif kind == "CreditsCharged":
            back = sum(int(part) for _, part in data["returned"])
            bound = int(data["reserved_was"]) - back + int(data["extra"])
            if charge != bound:
                self._tell("a charge is what hold and balance gave", charge, bound)
        held = life.held
        self._move(account, life, 0 if late else -held, charge)
        # What it held is remembered: it bounds a late charge.
        life.held = held
        self._fee_after(account, life, data)

    def _refund(self, account: Account, life: Life, data: Data) -> None:
        amount = int(data["amount"])
        if amount > life.paid:
            self._tell("refunds stay within the charge", amount, life.paid)
        life.paid -= amount
        self._fee_after(account, life, data)

    def _fee_after(self, account: Account, life: Life, data: Data) -> None:
        reversed_, again = data.get("fee_reversed"), data.get("fee")
        if reversed_ is not None:
            back = -self._fee(account, reversed_, -1)
            if back != life.fee:
                self._tell("a fee is given back once", back, life.fee)
            life.fee -= back
        if again is not None:
            if life.fee:
                self._tell("a fee accrues once", life.fee, 0)
            life.fee += self._fee(account, again)

    def _fee(self, account: Account, fee: Data | None, sign: int = 1) -> int:
        minor = sign * int(fee["minor"]) if fee is not None else 0
        self.fees[account.account_id] = self.fees.get(account.account_id, 0) + minor
        return minor

    def _move(self, account: Account, life: Life, held: int, paid: int = 0) -> None:
        """Count a change of what is held and paid, also in the windows of the hold's caps."""
        account.held += held
        life.held += held
        if life.counts:
            change = held + (paid if life.state == "open" else 0)
            for name in life.counts:
                for window in ("", life.day[:7], life.day):
                    spent = self._spent.get((name, window), 0)
                    self._spent[name, window] = spent + change
        life.paid += paid

    def _check_caps(self, life: Life, at: str) -> None:
        """No hold is given beyond a cap; what a settlement takes beyond its hold may exceed it."""
        labels = {"total": "", "day": at[:10], "month": at[:7]}
        if labels["month"] != self._month:
            self._forget_windows(labels["month"])
        key = self._keys.get(life.key_id, {})
        limits = self._limits.get(life.account_id, {})
        caps = [(key.get("lineage", ""), name, key.get(f"cap_{name}")) for name in labels]
        caps += [(life.account_id, name, limits.get(name)) for name in ("day", "month")]
        for counter, name, cap in caps:
            if cap is not None:
                spent = self._spent.get((counter, labels[name]), 0)
                if spent > int(cap):
                    self._tell(f"the cap of a {name} holds", spent, cap)

    def _forget_windows(self, month: str) -> None:
        """Nothing is held against a month or day that is over: its sums are never read again."""
        self._month = month
        over = [key for key in self._spent if key[1] and key[1][:7] < month]
        for key in over:
            del self._spent[key]


def _limited(limits: Data | None) -> bool:
    return limits is not None and (limits["day"] is not None or limits["month"] is not None)


CAPS = ("cap_total", "cap_day", "cap_month")

CALLS = frozenset({"CallAttached", "CallDetached"})
"""They move nothing; the fold follows them."""

LIVES: Mapping[str, str] = {
    "CreditsReserved": "open",
    "ReservationExtended": "open",
    "CallAttached": "open",
    "CallDetached": "open",
    "CreditsCharged": "settled",
    "CreditsReleased": "released",
    "ReservationExpired": "expired",
    "CreditsRefunded": "",
}
"""The events of a reservation's life, and how it stands after them (a refund changes nothing)."""

ALLOWED = frozenset(
    {
        ("open", "ReservationExtended"),
        ("open", "CallAttached"),
        ("open", "CallDetached"),
        ("open", "CreditsCharged"),
        ("open", "CreditsReleased"),
        ("open", "ReservationExpired"),
        ("expired", "CreditsCharged"),
        ("settled", "CreditsRefunded"),
        ("expired", "CreditsRefunded"),
    }
)
"""What may happen to a reservation as it stands."""
