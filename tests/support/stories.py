"""Long random lives of accounts, for invariants: every kind of money event occurs in them."""

import random

from libs.events.times import to_text
from tests.support.log_builder import LogBuilder

KINDS = (
    "grant", "reserve", "reserve", "reserve", "settle", "settle", "release", "extend", "expire",
    "late", "refund", "expire_grant", "claw_back", "reverse", "overrun",
)  # fmt: skip


def live(builder: LogBuilder, seed: int, steps: int, accounts: int = 3) -> LogBuilder:
    """Let some accounts live for a number of steps; returns the builder with its rows."""
    chance = random.Random(seed)
    names = [builder.account(chance.choice(["USD", "CREDIT"])) for _ in range(accounts)]
    keys = {name: builder.key(name) for name in names}
    charged: list[tuple[str, str, int]] = []
    expired: list[tuple[str, str, int]] = []
    clawed: list[tuple[str, int, int, int]] = []
    for name in names:
        builder.grant(name, 10_000)
    for _ in range(steps):
        name = chance.choice(names)
        story = builder.stories[name]
        held = [res for res, hold in builder.holds.items() if hold["account_id"] == name]
        kind = chance.choice(KINDS)
        if kind == "grant":
            source = chance.choice(["purchase", "admin", "initial"])
            expires_at = chance.choice([None, to_text(builder.at)])
            builder.grant(name, chance.randint(1, 5000), source, expires_at=expires_at)
        elif kind == "reserve" and story.available:
            builder.reserve(name, keys[name], chance.randint(1, story.available))
        elif kind == "extend" and held and story.available:
            builder.extend(chance.choice(held), chance.randint(1, story.available))
        elif kind == "settle" and held:
            res = chance.choice(held)
            charge = chance.randint(0, int(builder.holds[res]["amount"]))
            builder.settle(res, charge)
            charged.append((name, res, charge))
        elif kind == "overrun" and held:
            res = chance.choice(held)
            builder.settle(res, int(builder.holds[res]["amount"]) + chance.randint(1, 3000))
        elif kind == "release" and held:
            builder.release(chance.choice(held))
        elif kind == "expire" and held:
            res = chance.choice(held)
            amount = int(builder.holds[res]["amount"])
            charge = chance.choice([0, chance.randint(0, amount)])
            builder.expire(res, charge, loss=0 if charge else chance.choice([0, 7]))
            expired.append((name, res, amount))
        elif kind == "late" and expired:
            owner, res, amount = expired.pop()
            available = builder.stories[owner].available
            if available:
                builder.settle_late(owner, res, chance.randint(1, min(amount, available)))
        elif kind == "refund" and charged:
            owner, res, charge = charged.pop()
            grant = _charged_grant(builder, owner, charge)
            if charge and grant:
                builder.refund(owner, res, charge, grant)
        elif kind == "expire_grant":
            spare = [grant.no for grant in story.grants if grant.available]
            if spare:
                builder.expire_grant(name, chance.choice(spare))
        elif kind == "claw_back":
            no = chance.choice(story.grants).no
            amount = chance.randint(0, story.grants[no - 1].available)
            cause = chance.choice(["dispute:dp_1", "refund:re_1", "adjustment", "write_off"])
            builder.claw_back(name, no, amount, cause, lost := chance.randint(0, 5))
            clawed.append((name, no, amount, lost))
        elif kind == "reverse" and clawed:
            builder.reverse(*clawed.pop()[:3], "dispute:dp_1", 0)
    return builder


def _charged_grant(builder: LogBuilder, name: str, amount: int) -> int | None:
    """A grant from which so much has been charged and not refunded."""
    for grant in builder.stories[name].grants:
        if grant.charged >= amount:
            grant.charged -= amount
            return grant.no
    return None
