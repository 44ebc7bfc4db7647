"""Commands whose values stand at the bounds of their fields, about things that mostly exist."""

import random
from datetime import timedelta
from typing import Any

from libs.events import commands as c
from libs.events.ids import new_id
from libs.events.money import MAX_AMOUNT, MAX_TOTAL, NANOS
from services.ledger.domain.decide import HANDLERS
from tests.support.deciding import CATALOGUE, command
from tests.support.log_builder import account_in

AMOUNTS = (1, 7, NANOS, 3 * NANOS, MAX_AMOUNT - 1, MAX_AMOUNT)
MINORS = (0, 1, 10**15)
PAYMENTS = ("pi_1", "p" * 128)
CAUSES = ("refund:re_1", "dispute:dp_1", "dispute:" + "d" * 64)
REASONS = ("manual", "dispute:dp_1", "warning:" + "w" * 64)
LONG = "~" * 128
FEE = {"currency": "USD", "minor": 10**15, "schedule": "s" * 64}
TRIES = [{"upstream": "u" * 64, "status": 599, "reason": "r" * 64}] * 16
OFTEN = (
    "GrantCredits", "Reserve", "Reserve", "Attach", "Detach", "Extend", "Extend", "Settle", "Release", "Refund", "Refund", "UnfreezeAccount",
    "ExpireReservation", "StartRecharge", "RecordRechargeFailure", "ResumeRecharge", "IssueKey",
)  # fmt: skip
SELDOM = frozenset({"CloseAccount", "FreezeAccount", "RevokeKey"})


class Extremes:
    """Draws commands whose values stand at their bounds, about things that mostly exist."""

    def __init__(self, seed: int, at: Any) -> None:
        self.chance = random.Random(seed)
        self.at = at
        self.accounts = [account_in(0) for _ in range(2)]
        self.keys: dict[str, list[str]] = {account: [] for account in self.accounts}
        self.holds: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str, str]] = []
        self.attempts: list[str] = [new_id("rchg")]
        self.number = 0

    def begin(self) -> list[c.Command]:
        units = zip(self.accounts, ("USD", "CREDIT"), strict=True)
        opened = [self.open(account, unit) for account, unit in units]
        told = [*opened, *(self.issue_key(account) for account in self.accounts)]
        for account in self.accounts:
            told += [self.recharge(account), self.make_StartRecharge(account)]
            told.append(self.make_RecordRechargeFailure(account, self.attempts[-1]))
        return told

    def recharge(self, account: str) -> c.Command:
        data = {"enabled": True, "threshold": MAX_AMOUNT, "basis": "total", "amount": 0}
        return self.tell("ConfigureRecharge", account, data)

    def draw(self) -> c.Command:
        self.number += 1
        rare = self.chance.random() < 0.4
        kind = self.chance.choice(sorted(HANDLERS)) if rare else self.chance.choice(OFTEN)
        if kind in SELDOM and self.chance.random() < 0.8:
            return self.draw()
        made: c.Command = getattr(self, f"make_{kind}")(self.chance.choice(self.accounts))
        return made

    def end(self) -> list[c.Command]:
        """Let every hold go, and close the accounts."""
        given_back = [self._release(account, res) for res, account in self.holds]
        closing = {"write_off": True, "reason_code": "r" * 64}
        return [*given_back, *(self.tell("CloseAccount", a, closing) for a in self.accounts)]

    def one(self, *values: Any) -> Any:
        return self.chance.choice(values)

    def amount(self) -> int:
        return self.chance.choice(AMOUNTS)

    def tell(self, kind: str, account: str, data: dict[str, Any], caller: str | None = None) -> Any:
        made = getattr(c, kind)
        dated = {"deadline": self.at + timedelta(days=400)} if issubclass(made, c.Dated) else {}
        caller = caller or f"{kind}:{self.number}"
        return command(made, account, data, caller_id=caller, **dated)

    def open(self, account: str, unit: str) -> c.Command:
        data = {
            "unit": unit, "plan": LONG, "catalogue": CATALOGUE, "initial": NANOS,
            "external_id": "é" * 1000, "external_id_hash": "f" * 64,
        }  # fmt: skip
        return self.tell("OpenAccount", account, data, account)

    def issue_key(self, account: str, rotates: str | None = None) -> c.Command:
        key = new_id("key")
        self.keys[account].append(key)
        data = {
            "key_id": key, "secret_hash": key[4:] * 2, "purpose": self.one("inference", "service"), "prefix": "p" * 24,
            "allowed": self.one(None, [LONG] * 50), "cap_total": self.one(None, *AMOUNTS),
            "cap_day": self.one(None, MAX_AMOUNT), "cap_month": self.one(None, MAX_AMOUNT),
            "expires_at": self.one(None, self.at + timedelta(days=300)), "rotates": rotates,
            "overlap_ms": self.one(0, 30 * 24 * 3_600_000), "name": "n" * 1000,
        }  # fmt: skip
        return self.tell("IssueKey", account, data, key)

    def make_ChangePlan(self, account: str) -> c.Command:  # noqa: N802 - named after its kind
        return self.tell("ChangePlan", account, {"plan": LONG, "catalogue": CATALOGUE})

    def make_CloseAccount(self, account: str) -> c.Command:  # noqa: N802
        data = {"write_off": self.one(True, False), "reason_code": "r" * 64, "note": "n" * 1000}
        return self.tell("CloseAccount", account, data)

    def make_FreezeAccount(self, account: str) -> c.Command:  # noqa: N802
        data = {"reason": self.one(*REASONS), "revoke_keys": self.chance.random() < 0.1}
        return self.tell("FreezeAccount", account, data | {"note": "n" * 1000})

    def make_UnfreezeAccount(self, account: str) -> c.Command:  # noqa: N802
        return self.tell("UnfreezeAccount", account, {"reason": self.one(*REASONS)})

    def make_IssueKey(self, account: str) -> c.Command:  # noqa: N802
        return self.issue_key(account, self.one(None, *self.keys[account]))

    def make_RevokeKey(self, account: str) -> c.Command:  # noqa: N802
        key = self.one(*self.keys[account])
        data = {"key_id": key, "reason_code": "r" * 64}
        return self.tell("RevokeKey", account, data, f"revoke:{key}")

    def make_SetSpendLimits(self, account: str) -> c.Command:  # noqa: N802
        data = {
            "day": self.one(None, MAX_AMOUNT), "month": self.one(None, MAX_AMOUNT),
            "alerts": list(range(1, 11)),
        }  # fmt: skip
        return self.tell("SetSpendLimits", account, data)

    def make_GrantCredits(self, account: str) -> c.Command:  # noqa: N802
        data = {
            "source": "recharge", "amount": self.amount(), "priority": self.one(-1000, 1000),
            "shelf_months": self.one(None, 1200), "payment": self.one(*PAYMENTS),
            "paid": {"currency": "JPY", "minor": self.one(*MINORS)}, "pack": LONG,
            "expires_at": self.one(None, self.at + timedelta(hours=3)), "note": "n" * 1000,
            "attempt_id": self.one(*self.attempts), "catalogue": CATALOGUE, "reason_code": "r" * 64,
        }  # fmt: skip
        return self.tell("GrantCredits", account, data)

    def make_Reserve(self, account: str) -> c.Command:  # noqa: N802
        res, amount = new_id("req"), self.amount()
        self.holds.append((res, account))
        data = {
            "key_id": self.one(*self.keys[account]), "operation": LONG, "surface": "s" * 64,
            "amount": amount, "at_least": min(amount, NANOS),
            "hold_ms": self.one(1, 30 * 24 * 3_600_000), "catalogue": CATALOGUE,
            "at_deadline": self.one("release", "charge"), "fee": self.one(None, FEE),
            "attached_cost_ceiling": self.one(None, MAX_AMOUNT),
            "tags": {f"{n}{'k' * 31}": "v" * 64 for n in range(8)},
        }  # fmt: skip
        return self.tell("Reserve", account, data, res)

    def hold(self, account: str) -> tuple[str, str]:
        """A hold and whose it is; now and then somebody else asks for it."""
        if not self.holds:
            return new_id("req"), account
        res, owner = self.chance.choice(self.holds[-6:])
        return res, account if self.chance.random() < 0.1 else owner

    def make_Extend(self, account: str) -> c.Command:  # noqa: N802
        res, account = self.hold(account)
        data = {
            "res": res, "total": self.amount(), "hold_ms": self.one(1, 30 * 24 * 3_600_000),
            "used_so_far": self.one(0, *AMOUNTS),
        }  # fmt: skip
        return self.tell("Extend", account, data, f"extend:{res}:{self.number}")

    def make_Settle(self, account: str) -> c.Command:  # noqa: N802
        (res, account), charge = self.hold(account), self.one(0, *AMOUNTS)
        data = {
            "res": res, "charge": charge, "margin": self.one(0, charge, -MAX_AMOUNT),
            "basis": "actual", "cost_pico": self.one(None, MAX_TOTAL), "model": LONG,
            "usage": {f"{n:048d}": 2**53 - 1 for n in range(24)}, "route": LONG,
            "route_reason": LONG, "attempts": TRIES, "finish": "f" * 64, "status": 599,
        }  # fmt: skip
        return self.tell("Settle", account, data, res)

    def make_Release(self, account: str) -> c.Command:  # noqa: N802
        res, account = self.hold(account)
        return self._release(account, res)

    def _release(self, account: str, res: str) -> c.Command:
        data = {"res": res, "reason_code": "r" * 64, "attempts": TRIES, "route": LONG}
        return self.tell("Release", account, data, res)

    def make_Attach(self, account: str) -> c.Command:  # noqa: N802
        res, account = self.hold(account)
        call = f"{self.number:064d}"
        self.calls = [*self.calls[-8:], (res, account, call)]
        data = {
            "res": res, "call_id": call, "cost_bound": self.one(0, 1, MAX_AMOUNT),
            "hold_ms": self.one(1, 1000),
        }  # fmt: skip
        return self.tell("Attach", account, data, f"attach:{call}")

    def make_Detach(self, account: str) -> c.Command:  # noqa: N802
        res, account, call = self.one((new_id("req"), account, "c"), *self.calls)
        data = {
            "res": res, "call_id": call, "cost": self.one(0, *AMOUNTS), "model": LONG,
            "usage": {f"{n:048d}": 2**53 - 1 for n in range(24)}, "route": LONG,
        }  # fmt: skip
        return self.tell("Detach", account, data, f"detach:{call}")

    def make_Refund(self, account: str) -> c.Command:  # noqa: N802
        res, account = self.hold(account)
        data = {
            "res": res, "amount": self.one(1, NANOS, self.amount()), "whole": self.one(True, False),
            "reason_code": "r" * 64, "note": "n" * 1000,
        }  # fmt: skip
        return self.tell("Refund", account, data, f"refund:{res}:{self.number}")

    def make_Clawback(self, account: str) -> c.Command:  # noqa: N802
        by_amount = {"amount": self.amount(), "cause": self.one("adjustment", *CAUSES)}
        by_part = {"returned": self.one(*MINORS), "paid": 10**15, "cause": self.one(*CAUSES)}
        data = {"payment": self.one(*PAYMENTS)} | self.one(by_amount, by_part)
        return self.tell("Clawback", account, data)

    def make_ReverseClawback(self, account: str) -> c.Command:  # noqa: N802
        cause = self.one(*CAUSES)
        return self.tell("ReverseClawback", account, {"cause": cause}, f"reverse:{cause}")

    def make_ConfigureRecharge(self, account: str) -> c.Command:  # noqa: N802
        data = {
            "enabled": self.one(True, True, False), "threshold": self.one(0, MAX_AMOUNT),
            "basis": self.one("total", "available"), "amount": self.one(0, *AMOUNTS), "pack": LONG,
            "cap_charge": None, "cap_day": self.one(None, MAX_AMOUNT), "cap_month": None,
            "consent": {"text_hash": "f" * 64, "at": self.at},
        }  # fmt: skip
        return self.tell("ConfigureRecharge", account, data)

    def make_StartRecharge(self, account: str) -> c.Command:  # noqa: N802
        attempt = new_id("rchg")
        self.attempts = [*self.attempts[-2:], attempt]
        price = {"currency": "USD", "minor": self.one(1, 10**15, 4 * 10**11)}
        data = {"attempt_id": attempt, "credits": self.amount(), "price": price, "trigger": LONG}
        return self.tell("StartRecharge", account, data, attempt)

    def make_RecordRechargeFailure(self, account: str, attempt: str | None = None) -> c.Command:  # noqa: N802
        attempt = attempt or self.one(*self.attempts[-2:])
        kind = self.one("soft", "hard", "authentication", "abandoned")
        data = {"attempt_id": attempt, "class": kind, "code": "c" * 64, "payment": LONG}
        return self.tell("RecordRechargeFailure", account, data, f"failed:{attempt}")

    def make_ResumeRecharge(self, account: str) -> c.Command:  # noqa: N802
        return self.tell("ResumeRecharge", account, {"reason": "operator"})

    def make_ExpireReservation(self, account: str) -> c.Command:  # noqa: N802
        res, account = self.hold(account)
        return self.tell("ExpireReservation", account, {"res": res}, f"expire:{res}")

    def make_ExpireGrant(self, account: str) -> c.Command:  # noqa: N802
        no = self.chance.randint(1, 9)
        return self.tell("ExpireGrant", account, {"grant_no": no}, f"expire_grant:{account}:{no}")
