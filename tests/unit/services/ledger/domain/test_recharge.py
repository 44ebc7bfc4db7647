from datetime import timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from libs.events.money import NANOS
from services.ledger.domain.state import Accepted
from tests.support.deciding import (
    Rules,
    command,
    grant,
    issue_key,
    open_account,
    release,
    reserve,
    settle,
)

ACCOUNT = new_id("acct")
KEY = new_id("key")
FELL = "BalanceFellBelowThreshold"


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    rules.run(grant(ACCOUNT, 20 * NANOS))
    return rules


def configure(rules: Rules, **data: Any) -> Any:
    given = {
        "enabled": True,
        "threshold": 10 * NANOS,
        "basis": "total",
        "amount": 10 * NANOS,
        **data,
    }
    return rules.run(command(c.ConfigureRecharge, ACCOUNT, given))


def start(
    rules: Rules, attempt: str | None = None, minor: int = 1000, currency: str = "USD"
) -> Any:
    attempt = attempt or new_id("rchg")
    data = {
        "attempt_id": attempt, "credits": 10 * NANOS,
        "price": {"currency": currency, "minor": minor}, "trigger": "1-0-1",
    }  # fmt: skip
    return rules.run(command(c.StartRecharge, ACCOUNT, data, caller_id=attempt, deadline=rules.at))


def fail(rules: Rules, attempt: str, failure: str = "soft") -> Any:
    data = {"attempt_id": attempt, "class": failure, "code": "card_declined"}
    return rules.run(command(c.RecordRechargeFailure, ACCOUNT, data, caller_id=f"failed:{attempt}"))


def spend(rules: Rules, amount: int) -> None:
    res = new_id("req")
    assert isinstance(rules.run(reserve(ACCOUNT, KEY, amount, rules.at, res=res)), Accepted)
    rules.run(settle(ACCOUNT, res, amount))


def falls(rules: Rules) -> int:
    return sum(event.type == FELL for event in rules.events)


@pytest.mark.requirement("RCH-2")
def test_falling_below_the_threshold_is_said_once(rules):
    configure(rules)
    spend(rules, 9 * NANOS)
    assert falls(rules) == 0
    spend(rules, 2 * NANOS)
    spend(rules, 2 * NANOS)
    assert falls(rules) == 1
    assert rules.accounts[ACCOUNT].armed is False


def test_configuring_below_the_threshold_says_so_at_once(rules):
    configure(rules, threshold=25 * NANOS)
    assert falls(rules) == 1


def test_a_grant_arms_again_at_once_but_a_release_needs_a_margin(rules):
    configure(rules, basis="available")
    res = new_id("req")
    rules.run(reserve(ACCOUNT, KEY, 10 * NANOS + NANOS // 2, rules.at, res=res))
    assert falls(rules) == 1
    other = new_id("req")
    rules.run(reserve(ACCOUNT, KEY, 9 * NANOS, rules.at, res=other))
    rules.run(settle(ACCOUNT, other, 9 * NANOS))
    rules.run(release(ACCOUNT, res))  # 11.00 available: at threshold + margin
    assert rules.accounts[ACCOUNT].armed is True
    spend(rules, 2 * NANOS)
    assert falls(rules) == 2
    rules.run(grant(ACCOUNT, NANOS))  # 10.00 available: at the threshold, by a grant
    assert rules.accounts[ACCOUNT].armed is True


def test_a_frozen_account_is_watched_again_when_it_is_unfrozen(rules):
    configure(rules)
    res = new_id("req")
    rules.run(reserve(ACCOUNT, KEY, 15 * NANOS, rules.at, res=res))
    rules.run(command(c.FreezeAccount, ACCOUNT, {"reason": "manual"}))
    rules.run(settle(ACCOUNT, res, 15 * NANOS))
    assert falls(rules) == 0
    rules.run(command(c.UnfreezeAccount, ACCOUNT, {"reason": "manual"}))
    assert falls(rules) == 1


@pytest.mark.requirement("RCH-3")
def test_one_open_attempt_at_a_time(rules):
    configure(rules)
    spend(rules, 11 * NANOS)
    assert isinstance(start(rules), Accepted)
    assert start(rules).code == "recharge_open"


@pytest.mark.requirement("RCH-3")
def test_a_recharge_is_admitted_only_when_wanted_and_needed(rules):
    assert start(rules).code == "recharge_disabled"
    configure(rules)
    assert start(rules).code == "recharge_not_needed"
    configure(rules, enabled=False)
    assert start(rules).code == "recharge_disabled"


@pytest.mark.requirement("RCH-5")
def test_the_grant_that_names_the_attempt_closes_it(rules):
    configure(rules)
    spend(rules, 11 * NANOS)
    attempt = new_id("rchg")
    start(rules, attempt)
    rules.run(grant(ACCOUNT, 10 * NANOS, source="recharge", attempt_id=attempt, payment="pi_1"))
    assert rules.accounts[ACCOUNT].recharge.attempt is None
    assert rules.accounts[ACCOUNT].armed is True
    spend(rules, 10 * NANOS)
    assert isinstance(start(rules), Accepted)


def test_soft_failures_back_off_and_the_fourth_suspends(rules):
    configure(rules)
    spend(rules, 11 * NANOS)
    for hours in (1, 6, 24):
        attempt = new_id("rchg")
        assert isinstance(start(rules, attempt), Accepted)
        fail(rules, attempt)
        rules.after(hours=hours, seconds=-1)
        assert start(rules).code == "recharge_too_early"
        rules.after(seconds=1)
    attempt = new_id("rchg")
    start(rules, attempt)
    fail(rules, attempt)
    assert start(rules.after(days=30)).code == "recharge_suspended"
    rules.run(command(c.ResumeRecharge, ACCOUNT, {"reason": "card_changed"}))
    assert isinstance(start(rules), Accepted)


def test_a_hard_failure_suspends_at_once(rules):
    configure(rules)
    spend(rules, 11 * NANOS)
    attempt = new_id("rchg")
    start(rules, attempt)
    fail(rules, attempt, "hard")
    assert start(rules).code == "recharge_suspended"
    assert fail(rules, attempt).code == "already_closed"
    assert fail(rules, new_id("rchg")).code == "unknown_attempt"


def test_an_attempt_that_was_paid_is_closed_and_another_accounts_is_unknown(rules):
    other = new_id("acct")
    rules.run(open_account(other))
    configure(rules)
    spend(rules, 11 * NANOS)
    attempt = new_id("rchg")
    start(rules, attempt)
    foreign = {"attempt_id": attempt, "class": "soft", "code": "x"}
    told = command(c.RecordRechargeFailure, other, foreign, caller_id=f"failed:{attempt}")
    assert rules.run(told).code == "unknown_attempt"
    paid = grant(ACCOUNT, 10 * NANOS, source="recharge", attempt_id=attempt, payment="pi_1")
    rules.run(paid)
    assert fail(rules, attempt).code == "already_closed"


@pytest.mark.requirement("RCH-4")
def test_caps_are_amounts_of_the_currency_that_is_charged():
    """A cap of 12.50 USD on an account of whole credits."""
    rules = Rules()
    rules.run(open_account(ACCOUNT, unit="CREDIT"))
    whole = {"threshold": 10 * NANOS, "amount": 10 * NANOS}
    assert configure(rules, **whole | {"threshold": NANOS + 1}).code == "not_integral"
    assert isinstance(configure(rules, **whole, cap_charge=12 * NANOS + NANOS // 2), Accepted)
    refused = start(rules, minor=1251)
    assert (refused.code, refused.required) == ("recharge_cap_charge", 1251 * NANOS // 100)
    assert isinstance(start(rules, minor=1250), Accepted)


def test_money_is_bought_in_its_own_currency_and_credits_in_any(rules):
    configure(rules)
    spend(rules, 11 * NANOS)
    assert start(rules, currency="EUR").code == "unit_mismatch"
    assert start(rules, minor=10**15).code == "not_integral"
    assert isinstance(start(rules), Accepted)


def test_a_closed_account_is_not_watched_again(rules):
    configure(rules, threshold=30 * NANOS)
    closing = {"write_off": True, "reason_code": "left"}
    assert isinstance(rules.run(command(c.CloseAccount, ACCOUNT, closing)), Accepted)
    resumed = rules.run(command(c.ResumeRecharge, ACCOUNT, {"reason": "operator"}))
    assert (resumed.code, falls(rules)) == ("account_closed", 1)


def test_caps_count_what_was_charged_and_forget_what_failed(rules):
    configure(rules, cap_day=15 * NANOS, cap_charge=12 * NANOS)
    spend(rules, 12 * NANOS)
    assert start(rules, minor=1300).code == "recharge_cap_charge"
    attempt = new_id("rchg")
    start(rules, attempt)
    fail(rules, attempt, "abandoned")
    attempt = new_id("rchg")
    assert isinstance(start(rules, attempt), Accepted)
    rules.run(grant(ACCOUNT, NANOS, source="recharge", attempt_id=attempt))
    assert start(rules).code == "recharge_cap_day"
    rules.at = rules.at.replace(hour=0) + timedelta(days=1)
    assert isinstance(start(rules), Accepted)
