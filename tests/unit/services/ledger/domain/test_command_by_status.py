"""Which commands pass on an account that is open, frozen or closed: the whole matrix."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from services.ledger.domain.decide import HANDLERS
from services.ledger.domain.state import Accepted
from tests.support.deciding import (
    CATALOGUE,
    Rules,
    attach,
    clawback,
    command,
    detach,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    reverse,
    settle,
)

ACCOUNT = new_id("acct")
KEY, OTHER_KEY = new_id("key"), new_id("key")
ATTEMPT = new_id("rchg")
PAST = new_id("req")
PAYMENT, CLAIM = "pi_1", "refund:re_1"
OK = "accepted"

# command: (open, frozen, closed). A closed account has no hold and no attempt by then; `past` is
# a charge of 5 and PAYMENT what the credits came from, claimed by CLAIM before.
MATRIX = {
    "ChangePlan": (OK, OK, "account_closed"),
    "CloseAccount": ("account_not_empty", "account_not_empty", "account_closed"),
    "FreezeAccount": (OK, OK, OK),
    "UnfreezeAccount": ("unknown_cause", OK, "unknown_cause"),
    "IssueKey": (OK, "account_frozen", "account_closed"),
    "RevokeKey": (OK, OK, OK),
    "SetSpendLimits": (OK, OK, "account_closed"),
    "GrantCredits": (OK, OK, "account_closed"),
    "Reserve": (OK, "account_frozen", "account_closed"),
    "Extend": (OK, "account_frozen", "unknown_reservation"),
    "Settle": (OK, OK, "unknown_reservation"),
    "Release": (OK, OK, "unknown_reservation"),
    "Attach": (OK, "account_frozen", "unknown_reservation"),
    "Detach": (OK, OK, "unknown_reservation"),
    "ConfigureRecharge": (OK, OK, "account_closed"),
    "StartRecharge": ("recharge_not_needed", "account_frozen", "account_closed"),
    "RecordRechargeFailure": ("unknown_attempt", "unknown_attempt", "unknown_attempt"),
    "ResumeRecharge": (OK, OK, "account_closed"),
    "Refund": (OK, OK, "account_closed"),
    "Clawback": (OK, OK, OK),
    "ReverseClawback": (OK, OK, "account_closed"),
    "ExpireReservation": (OK, OK, "unknown_reservation"),
    "ExpireGrant": (OK, OK, "unknown_grant"),
}

TIMERS = {"ExpireReservation", "ExpireGrant"}


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at, purpose="service"))
    rules.run(grant(ACCOUNT, 100, source="purchase", payment=PAYMENT))
    rules.run(reserve(ACCOUNT, KEY, 5, rules.at, res=PAST))
    rules.run(settle(ACCOUNT, PAST, 5))
    rules.run(clawback(ACCOUNT, PAYMENT, 1, 100, CLAIM))
    rules.run(configure())
    return rules


def configure() -> c.Command:
    data = {"enabled": True, "threshold": 10, "basis": "total", "amount": 100}
    return command(c.ConfigureRecharge, ACCOUNT, data)


def freeze() -> c.Command:
    return command(c.FreezeAccount, ACCOUNT, {"reason": "manual"})


def expire_grant() -> c.Command:
    data = {"grant_no": 2}
    return command(c.ExpireGrant, ACCOUNT, data, caller_id=f"expire_grant:{ACCOUNT}:2")


def in_status(rules: Rules, status: str, kind: str) -> str:
    """Bring the account into a status; the hold that commands then name, if one can be open."""
    if status == "closed":
        data = {"write_off": True, "reason_code": "left"}
        assert isinstance(rules.run(command(c.CloseAccount, ACCOUNT, data)), Accepted)
        return new_id("req")
    res = new_id("req")
    held = reserve(ACCOUNT, KEY, 10, rules.at, res=res, attached_cost_ceiling=100)
    assert isinstance(rules.run(held), Accepted)
    if kind == "Detach":
        assert isinstance(rules.run(attach(ACCOUNT, res, "running", 1, rules.at)), Accepted)
    rules.run(grant(ACCOUNT, 7, expires_at=rules.at + timedelta(seconds=1)))
    if status == "frozen":
        rules.run(freeze())
    return res


def commands_of(rules: Rules, res: str) -> dict[str, c.Command]:
    deadline = rules.at + timedelta(seconds=5)
    extend: dict[str, Any] = {"res": res, "total": 20, "hold_ms": 60_000, "used_so_far": 0}
    start: dict[str, Any] = {
        "attempt_id": ATTEMPT, "credits": 100, "price": {"currency": "USD", "minor": 100},
        "trigger": "1-0-1",
    }  # fmt: skip
    failure = {"attempt_id": ATTEMPT, "class": "soft", "code": "x"}
    made = [
        command(c.ChangePlan, ACCOUNT, {"plan": "other", "catalogue": CATALOGUE}),
        command(c.CloseAccount, ACCOUNT, {"write_off": True, "reason_code": "left"}),
        freeze(),
        command(c.UnfreezeAccount, ACCOUNT, {"reason": "manual"}),
        issue_key(ACCOUNT, OTHER_KEY, deadline),
        command(
            c.RevokeKey, ACCOUNT, {"key_id": KEY, "reason_code": "x"}, caller_id=f"revoke:{KEY}"
        ),
        command(c.SetSpendLimits, ACCOUNT, {"day": 10, "month": None, "alerts": []}),
        grant(ACCOUNT, 1),
        reserve(ACCOUNT, KEY, 1, deadline),
        command(c.Extend, ACCOUNT, extend, caller_id=f"extend:{res}:1", deadline=deadline),
        settle(ACCOUNT, res, 1),
        release(ACCOUNT, res),
        attach(ACCOUNT, res, "one", 1, deadline),
        detach(ACCOUNT, res, "running", 1),
        configure(),
        command(c.StartRecharge, ACCOUNT, start, caller_id=ATTEMPT, deadline=deadline),
        command(c.RecordRechargeFailure, ACCOUNT, failure, caller_id=f"failed:{ATTEMPT}"),
        command(c.ResumeRecharge, ACCOUNT, {"reason": "operator"}),
        refund(ACCOUNT, PAST, 1),
        clawback(ACCOUNT, PAYMENT, 1, 2, "dispute:dp_1"),
        reverse(ACCOUNT, CLAIM),
        expire(ACCOUNT, res),
        expire_grant(),
    ]
    return {each.kind: each for each in made}


@pytest.mark.parametrize("status", ["open", "frozen", "closed"])
@pytest.mark.parametrize("kind", MATRIX)
def test_every_command_on_every_status(rules, kind, status):
    res = in_status(rules, status, kind)
    if kind in TIMERS:
        rules.after(minutes=2)
    decision = rules.run(commands_of(rules, res)[kind])
    outcome = OK if isinstance(decision, Accepted) else decision.code
    assert outcome == MATRIX[kind][["open", "frozen", "closed"].index(status)]


def test_no_command_is_left_out():
    assert set(HANDLERS) == set(MATRIX)


@pytest.mark.parametrize("kind", MATRIX)
def test_no_command_acts_on_an_account_that_was_never_opened(kind):
    rules = Rules()
    made = commands_of(rules, new_id("req"))
    assert rules.run(made[kind]).code == "unknown_account"
    assert rules.events == []
