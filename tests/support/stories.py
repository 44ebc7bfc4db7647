"""Long random lives of accounts, for invariants: every kind of money event occurs in them."""

import random

from libs.events.times import to_text
from tests.support.log_builder import LogBuilder

KINDS = (
    "grant", "reserve", "reserve", "reserve", "settle", "settle", "release", "extend", "expire",
    "late", "refund", "expire_grant", "claw_back", "reverse", "overrun",
)  # fmt: skip
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
CAUSES = ("dispute:dp_1", "refund:re_1", "adjustment", "write_off")


def live(builder: LogBuilder, seed: int, steps: int, accounts: int = 3) -> LogBuilder:
    """Let some accounts live for a number of steps; returns the builder with its rows."""
    life = Life(builder, random.Random(seed), accounts)
    for _ in range(steps):
        getattr(life, life.chance.choice(KINDS))(life.chance.choice(life.names))
    return builder


class Life:
    """One method a kind of step; a step that is not possible now does nothing."""

    def __init__(self, builder: LogBuilder, chance: random.Random, accounts: int) -> None:
        self.builder = builder
        self.chance = chance
        self.names = [builder.account(chance.choice(["USD", "CREDIT"])) for _ in range(accounts)]
        self.keys = {name: builder.key(name) for name in self.names}
        self.charged: list[tuple[str, str, int]] = []
        self.expired: list[tuple[str, str, int]] = []
        self.clawed: list[tuple[str, int, int, str, int]] = []
        for name in self.names:
            builder.grant(name, 10_000)

    def available(self, name: str) -> int:
        return self.builder.stories[name].available

    def hold(self, name: str) -> tuple[str, int] | None:
        """One of the account's open reservations and what it holds."""
        mine = [res for res, hold in self.builder.holds.items() if hold["account_id"] == name]
        if not mine:
            return None
        res = self.chance.choice(mine)
        return res, int(self.builder.holds[res]["amount"])

    def grant(self, name: str) -> None:
        source = self.chance.choice(["purchase", "admin", "initial"])
        expires_at = self.chance.choice([None, to_text(self.builder.at)])
        self.builder.grant(name, self.chance.randint(1, 5000), source, expires_at=expires_at)

    def reserve(self, name: str) -> None:
        if most := self.available(name):
            amount = self.chance.randint(1, most)
            fee = FEE if amount % 2 else None
            self.builder.reserve(name, self.keys[name], amount, fee=fee)

    def extend(self, name: str) -> None:
        if (held := self.hold(name)) and (most := self.available(name)):
            self.builder.extend(held[0], self.chance.randint(1, most))

    def settle(self, name: str) -> None:
        if held := self.hold(name):
            charge = self.chance.randint(0, held[1])
            self.builder.settle(held[0], charge)
            self.charged.append((name, held[0], charge))

    def overrun(self, name: str) -> None:
        if held := self.hold(name):
            self.builder.settle(held[0], held[1] + self.chance.randint(1, 3000))

    def release(self, name: str) -> None:
        if held := self.hold(name):
            self.builder.release(held[0])

    def expire(self, name: str) -> None:
        if held := self.hold(name):
            charge = self.chance.choice([0, self.chance.randint(0, held[1])])
            self.builder.expire(held[0], charge, loss=0 if charge else self.chance.choice([0, 7]))
            self.expired.append((name, held[0], held[1] - charge))

    def late(self, _name: str) -> None:
        if self.expired:
            name, res, amount = self.expired.pop()
            if most := min(amount, self.available(name)):
                self.builder.settle_late(name, res, self.chance.randint(1, most))

    def refund(self, _name: str) -> None:
        if self.charged:
            name, res, charge = self.charged.pop()
            grants = self.builder.stories[name].grants
            grant = next((grant for grant in grants if grant.charged >= charge), None)
            if charge and grant:
                grant.charged -= charge
                self.builder.refund(name, res, charge, grant.no)

    def expire_grant(self, name: str) -> None:
        spare = [grant.no for grant in self.builder.stories[name].grants if grant.available]
        if spare:
            self.builder.expire_grant(name, self.chance.choice(spare))

    def claw_back(self, name: str) -> None:
        grant = self.chance.choice(self.builder.stories[name].grants)
        amount, lost = self.chance.randint(0, grant.available), self.chance.randint(0, 5)
        standing = self.builder.lots.lots[name, grant.no]["causes"]
        cause = self.chance.choice([cause for cause in CAUSES if cause not in standing])
        self.builder.claw_back(name, grant.no, amount, cause, lost)
        if cause in CAUSES[:2]:
            self.clawed.append((name, grant.no, amount, cause, lost))

    def reverse(self, name: str) -> None:
        if self.clawed:
            self.builder.reverse(*self.clawed.pop())
        else:
            self.claw_back(name)
