"""Random lives of one account: buying, spending, refunds, disputes; and what must hold of them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from libs.events.commands import Command
from libs.events.ids import new_id
from libs.events.postings import postings
from services.ledger.replay import Fold
from tests.support import deciding as d

PAYMENTS = ("pi_1", "pi_2")
CAUSES = ("dispute:dp_1", "refund:re_1", "refund:re_2", "dispute:dp_2")
STEPS = (
    "buy", "give", "hold", "hold", "settle", "settle", "release", "expire", "late", "refund",
    "claim", "reverse", "correct", "wait",
)  # fmt: skip
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(1, 200)), max_size=60
)


@dataclass
class Life:
    """Commands of one account drawn from numbers; what they name exists, mostly."""

    rules: d.Rules = field(default_factory=d.Rules)
    account: str = field(default_factory=lambda: new_id("acct"))
    key: str = field(default_factory=lambda: new_id("key"))
    held: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    number: int = 0

    def begin(self) -> list[Command]:
        key = d.issue_key(self.account, self.key, self.rules.at)
        return [d.open_account(self.account), key]

    def command(self, step: str, which: int, amount: int) -> Command | None:
        """The command of a step, None when there is nothing it could be about."""
        self.number += 1
        make = getattr(self, f"_{step}")
        made: Command | None = make(which, amount)
        return made

    def _buy(self, which: int, amount: int) -> Command:
        expires_at = self.rules.at + timedelta(seconds=50) if which % 3 == 0 else None
        return d.grant(
            self.account, amount, source="purchase", payment=PAYMENTS[which % 2],
            expires_at=expires_at, priority=which % 2,
        )  # fmt: skip

    def _give(self, which: int, amount: int) -> Command:
        expires_at = self.rules.at + timedelta(seconds=30) if which % 2 else None
        return d.grant(self.account, amount, expires_at=expires_at)

    def _hold(self, _which: int, amount: int) -> Command:
        res = new_id("req")
        self.held.append(res)
        return d.reserve(
            self.account, self.key, amount, self.rules.at, res=res, at_least=1,
            at_deadline="charge" if amount % 2 else "release",
        )  # fmt: skip

    def _settle(self, which: int, amount: int) -> Command | None:
        if not self.held:
            return None
        self.ended.append(self.held.pop(which % len(self.held)))
        return d.settle(self.account, self.ended[-1], amount, margin=amount // 3)

    def _release(self, which: int, _amount: int) -> Command | None:
        return d.release(self.account, self.held.pop(which % len(self.held))) if self.held else None

    def _expire(self, which: int, _amount: int) -> Command | None:
        if not self.held:
            return None
        self.rules.after(seconds=61)
        self.expired.append(self.held.pop(which % len(self.held)))
        return d.expire(self.account, self.expired[-1])

    def _late(self, _which: int, amount: int) -> Command | None:
        if not self.expired:
            return None
        self.ended.append(self.expired.pop())
        return d.settle(self.account, self.ended[-1], amount)

    def _refund(self, which: int, amount: int) -> Command | None:
        if not self.ended:
            return None
        res = self.ended[which % len(self.ended)]
        return d.refund(self.account, res, amount, self.number)

    def _claim(self, which: int, amount: int) -> Command:
        paid = amount + which * 10
        return d.clawback(
            self.account, PAYMENTS[which % 2], amount, paid, CAUSES[which % len(CAUSES)]
        )

    def _reverse(self, which: int, _amount: int) -> Command:
        return d.reverse(self.account, CAUSES[which % len(CAUSES)])

    def _correct(self, _which: int, amount: int) -> Command:
        return d.correct(self.account, amount)

    def _wait(self, which: int, _amount: int) -> None:
        self.rules.after(seconds=which * 10)


class Tally:
    """Sums over the events of one account, by plain arithmetic: what every life must keep to."""

    def __init__(self) -> None:
        self.found: list[tuple[str, object, object]] = []
        self.fold = Fold(lambda *what: self.found.append(what))
        self.charged: dict[str, int] = defaultdict(int)
        self.refunded: dict[str, int] = defaultdict(int)
        self.margin: dict[str, int] = defaultdict(int)
        self.margin_back: dict[str, int] = defaultdict(int)
        self.granted: dict[str, int] = defaultdict(int)
        self.claimed: dict[str, int] = defaultdict(int)
        self.targets: dict[str, dict[str, int]] = defaultdict(dict)
        self.position = 0

    def add(self, kind: str, account: str, data: dict[str, Any]) -> None:
        self.position += 1
        body = {"type": kind, "data": data, "account_id": account, "position": self.position}
        self.fold.apply(self.fold.account(account, 0), body)
        if kind in ("CreditsCharged", "ReservationExpired"):
            self.charged[data["res"]] += int(data["charge"])
            self.margin[data["res"]] += int(data["margin"])
        elif kind == "CreditsRefunded":
            self.refunded[data["res"]] += int(data["amount"])
            self.margin_back[data["res"]] += int(data["margin"])
        elif kind == "CreditsGranted" and data["payment"]:
            self.granted[data["payment"]] += int(data["amount"])
        elif kind == "CreditsClawedBack" and data["cause"] not in ("adjustment", "write_off"):
            self.claimed[data["payment"]] += int(data["amount"]) + int(data["shortfall"])
            targets, target = self.targets[data["payment"]], int(data["target"])
            targets[data["cause"]] = max(target, targets.get(data["cause"], 0))
        elif kind == "ClawbackReversed":
            back = int(data["amount"]) + int(data["shortfall_cancelled"])
            self.claimed[data["payment"]] -= back
            self.targets[data["payment"]].pop(data["cause"], None)

    def check(self, life: Life) -> None:
        """What must hold after every command."""
        account, mine = life.rules.accounts[life.account], self.fold.accounts[life.account]
        assert self.found == []
        assert (account.available, account.reserved) == (mine.available, mine.reserved)
        for grant in mine.grants.values():
            assert grant.left_over == 0, "granted = available + reserved + (charged - refunded) + …"
            assert min(grant.available, grant.reserved, grant.charged, grant.clawed) >= 0
        live = {(g.no, g.available, g.reserved) for g in account.grants}
        assert live == {
            (g.no, g.available, g.reserved)
            for g in mine.grants.values()
            if g.available or g.reserved
        }
        for res, refunded in self.refunded.items():
            assert refunded <= self.charged[res]
            if refunded == self.charged[res]:
                assert self.margin_back[res] == self.margin[res]
        for no, due in account.dues.items():
            assert 0 < due.amount <= mine.grants[no].reserved
        for payment, targets in self.targets.items():
            due = sum(due.amount for due in account.dues.values() if due.payment == payment)
            claimed = self.claimed[payment] + due
            assert claimed == max(targets.values(), default=0) <= self.granted[payment]
            back = [g for g in mine.grants.values() if g.payment == payment and g.available]
            assert not (due and back), "nothing is available while something is due"

    def balanced(self, kind: str, data: dict[str, Any]) -> bool:
        return sum(line.amount for line in postings(kind, data, "USD")) == 0
