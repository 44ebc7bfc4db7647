"""A state machine: whatever the commands, the rules do what a few lines of arithmetic do."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from libs.events import commands as c
from libs.events.chain import GENESIS, body_hash
from libs.events.codec import canonical
from services.ledger.domain import clawbacks, grants, spending
from services.ledger.domain.state import Accepted
from services.ledger.invariants import WholeLog
from tests.seeded.tiny_model import TinyModel
from tests.support import deciding as d

ACCOUNT = f"acct_{1:032x}"
AMOUNT = st.integers(1, 300)
MAYBE = st.one_of(st.none(), st.integers(50, 800))
WHICH = st.integers(0, 10**6)
MINUTES = st.integers(1, 60)
REASON = st.sampled_from(["manual", "dispute:1"])
PAYMENT = st.sampled_from(["pi_1", "pi_2"])
CAUSE = st.sampled_from(["refund:re_1", "refund:re_2", "dispute:dp_1"])
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
LATE = 20
"""Events before the account may be closed, so that it does not end before it was lived."""
SETTINGS = settings(
    max_examples=150, stateful_step_count=40, derandomize=True, deadline=None, database=None,
    phases=[Phase.generate], report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""A story that parts from the model is told as it was found: to make one of forty steps shorter
takes minutes, and a test that runs into its time limit tells nothing. Which stories there are
depends on the modules that are loaded, for hypothesis draws constants out of them too.
"""


def given(**named):
    return st.fixed_dictionaries(named)


ARGUMENTS = {
    "time_passes": given(minutes=MINUTES),
    "grant": given(
        amount=AMOUNT,
        priority=st.integers(0, 2),
        lifetime=st.one_of(st.none(), MINUTES),
        payment=st.one_of(st.none(), PAYMENT),
    ),
    "issue_key": given(cap=MAYBE, cap_day=MAYBE),
    "rotate_key": given(cap=MAYBE, cap_day=MAYBE, which=WHICH),
    "revoke_key": given(which=WHICH),
    "freeze": given(reason=REASON),
    "unfreeze": given(reason=REASON),
    "limit": given(day=MAYBE, month=MAYBE),
    "reserve": given(
        which=WHICH,
        amount=AMOUNT,
        percent=st.integers(1, 100),
        ends=MINUTES,
        at=st.sampled_from(["release", "charge"]),
        fee=st.booleans(),
        ceiling=st.one_of(st.none(), AMOUNT),
    ),
    "attach": given(which=WHICH, bound=st.integers(0, 150), minutes=st.integers(1, 20)),
    "detach": given(which=WHICH, cost=st.integers(0, 200)),
    "extend": given(which=WHICH, more=st.integers(0, 100), ends=MINUTES, used=AMOUNT),
    "settle": given(which=WHICH, charge=st.integers(0, 400)),
    "settle_late": given(which=WHICH, charge=st.integers(0, 400)),
    "release": given(which=WHICH),
    "expire": given(which=WHICH, wait=st.booleans()),
    "refund": given(which=WHICH, amount=AMOUNT, whole=st.booleans()),
    "refund_late": given(which=WHICH),
    "claim": given(payment=PAYMENT, cause=CAUSE, returned=st.integers(0, 10)),
    "reverse": given(cause=CAUSE),
    "correct": given(amount=AMOUNT),
    "close": given(write_off=st.booleans()),
}
STEPS = (
    *["reserve"] * 9, *["grant"] * 6, *["settle"] * 5, *["expire", "extend", "refund", "claim"] * 4,
    *["release", "reverse", "settle_late", "unfreeze", "detach"] * 2, "attach", *["refund_late", "close"] * 4,
    "time_passes", "correct", "issue_key", "rotate_key", "revoke_key", "freeze", "limit",
)  # fmt: skip
"""Each as often as it helps: most of them do nothing to an account without credits."""
OF_HOLDS = frozenset({
    "extend", "attach", "detach", "settle", "settle_late", "release", "expire", "refund",
    "refund_late",
})  # fmt: skip


MOVEMENTS = {
    "AccountOpened", "AccountClosed", "AccountFrozen", "AccountUnfrozen", "KeyIssued", "KeyRevoked",
    "SpendLimitsSet", "CreditsGranted", "CreditsReserved", "ReservationExtended", "CreditsCharged",
    "CallAttached", "CallDetached", "CreditsReleased", "ReservationExpired", "CreditsRefunded", "CreditsExpired",
    "CreditsClawedBack", "ClawbackReversed", "a child", "a late charge", "an overrun",
    "a fee once more", "something due", "a shortfall",
}  # fmt: skip


def movements(event):
    """What an event is evidence of."""
    data = event.data
    yield event.type
    if event.type == "CreditsRefunded" and data["child"]:
        yield "a child"
    if event.type == "CreditsCharged":
        yield from (["a late charge"] if data["reserved_was"] == "0" else [])
        yield from (["an overrun"] if data["loss_kind"] == "overrun" else [])
        yield from (["a fee once more"] if data["fee"] else [])
    if event.type == "CreditsClawedBack":
        yield from (["something due"] if data["due"] != "0" else [])
        yield from (["a shortfall"] if data["shortfall"] != "0" else [])


class Machine(RuleBasedStateMachine):
    reached: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.rules = d.Rules(at=datetime(2026, 11, 30, 22, 0, tzinfo=UTC))
        self.model = TinyModel()
        self.checks = WholeLog()
        self.seen, self.head = 0, GENESIS

    @initialize(cap=MAYBE, amount=AMOUNT)
    def begin(self, cap, amount):
        assert isinstance(self.rules.run(d.open_account(ACCOUNT)), Accepted)
        self.issue_key(cap=cap, cap_day=None)
        self.grant(amount=amount, priority=0, lifetime=None, payment="pi_1")

    def both(self, command, name, *arguments, **named):
        """The command and its rule in the model: both accept it, or both refuse it."""
        after, decision = self.model.try_to(name, *arguments, **named), self.rules.run(command)
        assert isinstance(decision, Accepted) == (after is not None), (decision, arguments)
        self.model = after or self.model
        return decision if after else None

    def say(self, kind, data, caller, **envelope):
        return d.command(kind, ACCOUNT, data, caller_id=caller, **envelope)

    def key(self, which):
        return list(self.model.keys)[-1 - which % min(3, len(self.model.keys))]

    def hold(self, which):
        return list(self.model.holds)[-1 - which % min(6, len(self.model.holds))]

    def time_passes(self, minutes):
        self.model.now += minutes
        self.rules.after(minutes=minutes)

    def grant(self, amount, priority, lifetime, payment):
        ends = None if lifetime is None else self.rules.at + timedelta(minutes=lifetime)
        command = d.grant(
            ACCOUNT, amount, priority=priority, expires_at=ends, payment=payment,
            source="purchase" if payment else "admin",
        )  # fmt: skip
        self.both(command, "grant", amount, priority, lifetime, payment)

    def issue_key(self, cap, cap_day, old=None):
        name = f"key_{len(self.model.keys) + 1:032x}"
        command = d.issue_key(
            ACCOUNT, name, self.rules.at, cap_total=cap, cap_day=cap_day, rotates=old, purpose="service",
            overlap_ms=10 * 60_000,
        )  # fmt: skip
        self.both(command, "issue_key", name, cap, cap_day, old)

    def rotate_key(self, cap, cap_day, which):
        self.issue_key(cap, cap_day, self.key(which))

    def revoke_key(self, which):
        name = self.key(which)
        data = {"key_id": name, "reason_code": "test"}
        self.both(self.say(c.RevokeKey, data, f"revoke:{name}"), "revoke_key", name)

    def freeze(self, reason):
        data = {"reason": reason, "revoke_keys": False}
        self.both(self.say(c.FreezeAccount, data, reason), "freeze", reason)

    def unfreeze(self, reason):
        reason = min(self.model.frozen, default=reason)
        self.both(self.say(c.UnfreezeAccount, {"reason": reason}, reason), "unfreeze", reason)

    def limit(self, day, month):
        data = {"day": day, "month": month, "alerts": []}
        self.both(self.say(c.SetSpendLimits, data, "limits"), "limit", day, month)

    def reserve(self, which, amount, percent, ends, at, fee, ceiling):
        res, name = f"req_{len(self.rules.events):032x}", self.key(which)
        at_least = max(1, amount * percent // 100)
        command = d.reserve(
            ACCOUNT, name, amount, self.rules.at, res=res, at_least=at_least,
            hold_ms=ends * 60_000, at_deadline=at, fee=FEE if fee else None,
            attached_cost_ceiling=ceiling,
        )  # fmt: skip
        self.both(command, "reserve", res, name, amount, at_least, ends, at, ceiling, fee=fee)

    def extend(self, which, more, ends, used):
        res = self.hold(which)
        total = self.model.holds[res]["held"] + more
        data = {"res": res, "total": total, "hold_ms": ends * 60_000, "used_so_far": used}
        command = self.say(c.Extend, data, f"extend:{res}:1", deadline=self.rules.at)
        self.both(command, "extend", res, total, ends, used)

    def attach(self, which, bound, minutes):
        res, call = self.hold(which), f"call-{len(self.rules.events)}"
        hold_ms = minutes * 60_000
        command = d.attach(ACCOUNT, res, call, bound, self.rules.at, hold_ms=hold_ms)
        self.both(command, "attach", res, call, bound, minutes)

    def detach(self, which, cost):
        """One of the calls of a hold; of one without calls, a call it never had."""
        res = self.hold(which)
        call = next(reversed(self.model.holds[res]["calls"]), "none")
        self.both(d.detach(ACCOUNT, res, call, cost), "detach", res, call, cost)

    def settle(self, which, charge):
        res = self.hold(which)
        before = self.model.holds[res]["paid"]
        decision = self.both(d.settle(ACCOUNT, res, charge), "settle", res, charge)
        if decision:
            charged = next(e.data for e in decision.events if e.type == "CreditsCharged")
            assert int(charged["charge"]) == self.model.holds[res]["paid"] - before
            assert int(charged["loss"]) == max(0, charge - self.model.holds[res]["paid"])

    def release(self, which):
        res = self.hold(which)
        self.both(d.release(ACCOUNT, res), "release", res)

    def expire(self, which, wait):
        if wait:
            self.time_passes(61)
        res = self.hold(which)
        self.both(d.expire(ACCOUNT, res), "expire", res)

    def settle_late(self, which, charge):
        self.expire(which, wait=True)
        self.settle(which, charge)

    def refund(self, which, amount, whole, res=None):
        res = res or self.hold(which)
        hold = self.model.holds[res]
        left = hold["paid"] - hold["refunded"]
        amount = left if whole and left else amount
        self.both(d.refund(ACCOUNT, res, amount, whole=whole), "refund", res, amount, whole=whole)

    def refund_late(self, which):
        """When the grants it was paid from may have expired."""
        self.time_passes(61)
        holds = self.model.holds.items()
        charged = [res for res, hold in holds if hold["paid"] > hold["refunded"]]
        res = charged[which % len(charged)] if charged else None
        self.refund(which, amount=1, whole=True, res=res)

    def claim(self, payment, cause, returned):
        command = d.clawback(ACCOUNT, payment, returned, 10, cause)
        self.both(command, "claim", payment, cause, returned, 10)

    def reverse(self, cause):
        self.both(d.reverse(ACCOUNT, cause), "reverse", cause)

    def correct(self, amount):
        self.both(d.correct(ACCOUNT, amount), "correct", amount)

    def close(self, write_off):
        for res in [res for res, hold in self.model.holds.items() if hold["state"] == "open"]:
            self.both(d.release(ACCOUNT, res), "release", res)
        data = {"write_off": write_off, "reason_code": "left"}
        self.both(self.say(c.CloseAccount, data, "close"), "close", write_off=write_off)

    @rule(step=st.sampled_from(STEPS), data=st.data())
    def step(self, step, data):
        """One of the steps below. Drawn here and not by rules of their own, which hypothesis would
        leave out for whole runs: an account that is frozen for good tells little.
        """
        if step in OF_HOLDS and not self.model.holds:
            step = "reserve"
        if step == "close" and len(self.rules.events) < LATE:
            step = "grant"
        getattr(self, step)(**data.draw(ARGUMENTS[step]))

    @invariant()
    def claims_agree(self):
        account = self.rules.accounts.get(ACCOUNT)
        lots = self.rules.lots(ACCOUNT)
        for grant in self.model.grants if account else ():
            due, lot = account.dues.get(grant["no"]), lots[grant["no"]]
            found = (due.amount if due else 0, lot.clawed, lot.shortfall)
            assert found == (grant["due"], grant["clawed"], grant["lost"]), grant["no"]

    @invariant()
    def fees_agree(self):
        """The sum of the fees is the fee x the invocations that were not given back."""
        sums = sum(
            (event.data.get("fee") or {}).get("minor", 0)
            - (event.data.get("fee_reversed") or {}).get("minor", 0)
            for event in self.rules.events
        )
        assert sums == self.model.fees

    @invariant()
    def balances_agree(self):
        account = self.rules.accounts.get(ACCOUNT)
        if account is None:
            return
        assert (account.available, account.reserved) == (self.model.available, self.model.reserved)
        free = {grant["no"]: grant["free"] for grant in self.model.grants if grant["free"]}
        assert {grant.no: grant.available for grant in account.grants if grant.available} == free

    @invariant()
    def invariants_hold(self):
        for event in self.rules.events[self.seen :]:
            self.seen += 1
            self.reached.update(movements(event))
            body = orjson.loads(
                orjson.dumps({
                    "account_id": ACCOUNT, "data": event.data, "incarnation": 1,
                    "occurred_at": event.occurred_at, "partition": 0, "position": self.seen,
                    "prev": self.head, "type": event.type, "type_version": 1, "version": self.seen,
                })
            )  # fmt: skip
            self.head = body_hash(canonical(body)).hex()
            self.checks.apply(body)
        assert self.checks.finish() == []


@pytest.mark.requirement(
    "RSV-1", "RSV-2", "RSV-4", "CRD-3", "CRD-4", "CRD-5", "CRD-7", "ACC-4", "ACC-8", "PRC-3",
    "PAY-4", "PAY-5",
)  # fmt: skip
def test_the_rules_do_what_the_tiny_model_does():
    Machine.reached.clear()
    run_state_machine_as_test(Machine, settings=SETTINGS)
    assert Machine.reached == MOVEMENTS, "what no story reached is not proven"


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (grants, "burn_order", lambda grant: -grant.no),
        (clawbacks, "_claimed", lambda _account, _lots: 0),
        (spending, "recount", lambda account, _reservation, _change: account),
    ],
    ids=["burn order", "claims overlap", "what comes back to a cap"],
)
def test_a_wrong_rule_is_found(monkeypatch, module, name, wrong):
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises((AssertionError, ArithmeticError)):
        run_state_machine_as_test(Machine, settings=SETTINGS)
