"""A state machine: whatever the commands, the rules do what a few lines of arithmetic do."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.events import commands as c
from libs.events.chain import GENESIS, body_hash
from libs.events.codec import canonical
from services.ledger.domain import grants
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
SETTINGS = settings(
    max_examples=150, stateful_step_count=40, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rules = d.Rules(at=datetime(2026, 11, 30, 22, 0, tzinfo=UTC))
        self.model = TinyModel()
        self.checks = WholeLog()
        self.seen, self.head = 0, GENESIS

    @initialize(cap=MAYBE, amount=AMOUNT)
    def begin(self, cap, amount):
        assert isinstance(self.rules.run(d.open_account(ACCOUNT)), Accepted)
        self.issue_key(cap=cap)
        self.grant(amount=amount, priority=0, lifetime=None)

    def both(self, command, name, *arguments):
        """The command and its rule in the model: both accept it, or both refuse it."""
        after, decision = self.model.try_to(name, *arguments), self.rules.run(command)
        assert isinstance(decision, Accepted) == (after is not None), (decision, arguments)
        self.model = after or self.model
        return decision if after else None

    def say(self, kind, data, caller, **envelope):
        return d.command(kind, ACCOUNT, data, caller_id=caller, **envelope)

    def key(self, which):
        return list(self.model.keys)[which % len(self.model.keys)]

    def hold(self, which):
        return list(self.model.holds)[-1 - which % min(6, len(self.model.holds))]

    @rule(minutes=MINUTES)
    def time_passes(self, minutes):
        self.model.now += minutes
        self.rules.after(minutes=minutes)

    @rule(amount=AMOUNT, priority=st.integers(0, 2), lifetime=st.one_of(st.none(), MINUTES))
    def grant(self, amount, priority, lifetime):
        ends = None if lifetime is None else self.rules.at + timedelta(minutes=lifetime)
        command = d.grant(ACCOUNT, amount, priority=priority, expires_at=ends)
        self.both(command, "grant", amount, priority, lifetime)

    @rule(cap=MAYBE)
    def issue_key(self, cap, old=None):
        name = f"key_{len(self.model.keys) + 1:032x}"
        command = d.issue_key(
            ACCOUNT, name, self.rules.at, cap_total=cap, rotates=old, overlap_ms=10 * 60_000
        )
        self.both(command, "issue_key", name, cap, old)

    @rule(cap=MAYBE, which=WHICH)
    def rotate_key(self, cap, which):
        self.issue_key(cap, self.key(which))

    @rule(which=WHICH)
    def revoke_key(self, which):
        name = self.key(which)
        data = {"key_id": name, "reason_code": "test"}
        self.both(self.say(c.RevokeKey, data, f"revoke:{name}"), "revoke_key", name)

    @rule(reason=REASON)
    def freeze(self, reason):
        data = {"reason": reason, "revoke_keys": False}
        self.both(self.say(c.FreezeAccount, data, reason), "freeze", reason)

    @rule(reason=REASON)
    def unfreeze(self, reason):
        self.both(self.say(c.UnfreezeAccount, {"reason": reason}, reason), "unfreeze", reason)

    @rule(day=MAYBE)
    def limit(self, day):
        data = {"day": day, "month": None, "alerts": []}
        self.both(self.say(c.SetSpendLimits, data, "limits"), "limit", day)

    @rule(
        which=WHICH, amount=AMOUNT, percent=st.integers(1, 100), ends=MINUTES,
        at=st.sampled_from(["release", "charge"]),
    )  # fmt: skip
    def reserve(self, which, amount, percent, ends, at):
        res, name = f"req_{len(self.rules.events):032x}", self.key(which)
        at_least = max(1, amount * percent // 100)
        command = d.reserve(
            ACCOUNT, name, amount, self.rules.at, res=res, at_least=at_least,
            hold_ms=ends * 60_000, at_deadline=at,
        )  # fmt: skip
        self.both(command, "reserve", res, name, amount, at_least, ends, at)

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, more=st.integers(0, 100), ends=MINUTES, used=AMOUNT)
    def extend(self, which, more, ends, used):
        res = self.hold(which)
        total = self.model.holds[res]["held"] + more
        data = {"res": res, "total": total, "hold_ms": ends * 60_000, "used_so_far": used}
        command = self.say(c.Extend, data, f"extend:{res}:1", deadline=self.rules.at)
        self.both(command, "extend", res, total, ends, used)

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH, charge=st.integers(0, 400))
    def settle(self, which, charge):
        res = self.hold(which)
        before = self.model.holds[res]["paid"]
        decision = self.both(d.settle(ACCOUNT, res, charge), "settle", res, charge)
        if decision:
            charged = next(e.data for e in decision.events if e.type == "CreditsCharged")
            assert int(charged["charge"]) == self.model.holds[res]["paid"] - before
            assert int(charged["loss"]) == max(0, charge - self.model.holds[res]["paid"])

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH)
    def release(self, which):
        res = self.hold(which)
        self.both(d.release(ACCOUNT, res), "release", res)

    @precondition(lambda self: self.model.holds)
    @rule(which=WHICH)
    def expire(self, which):
        res = self.hold(which)
        self.both(d.expire(ACCOUNT, res), "expire", res)

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


@pytest.mark.requirement("RSV-1", "CRD-3", "CRD-4", "ACC-4")
def test_the_rules_do_what_the_tiny_model_does():
    run_state_machine_as_test(Machine, settings=SETTINGS)


def test_a_wrong_burn_order_is_found(monkeypatch):
    monkeypatch.setattr(grants, "burn_order", lambda grant: -grant.no)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=SETTINGS)
