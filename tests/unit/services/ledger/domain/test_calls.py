"""Composite work: calls under one reservation, bounded by its ceiling, ended before it ends."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from libs.events.times import to_text
from services.ledger.domain.state import Accepted, Conflict, Declined
from tests.support.deciding import (
    Rules,
    attach,
    command,
    detach,
    expire,
    grant,
    issue_key,
    open_account,
    release,
    reserve,
    settle,
)

ACCOUNT, KEY = new_id("acct"), new_id("key")
CEILING = 1000


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at, purpose="service"))
    rules.run(grant(ACCOUNT, 100))
    return rules


def hold(rules: Rules, **data: Any) -> str:
    res = new_id("req")
    given = {"attached_cost_ceiling": CEILING, "hold_ms": 600_000, **data}
    assert isinstance(rules.run(reserve(ACCOUNT, KEY, 10, rules.at, res=res, **given)), Accepted)
    return res


def attached(rules: Rules, res: str, call: str, bound: int, **data: Any) -> Any:
    return rules.run(attach(ACCOUNT, res, call, bound, rules.at, **data))


@pytest.mark.requirement("RSV-7")
def test_attached_calls_stop_at_the_ceiling_and_after_close(rules):
    res = hold(rules)
    assert isinstance(attached(rules, res, "one", 600), Accepted)
    declined = attached(rules, res, "two", 401)
    assert declined == Declined("attached_ceiling", required=401, available=400, total=CEILING)
    rules.run(detach(ACCOUNT, res, "one", 350))
    assert isinstance(attached(rules, res, "two", 650), Accepted), "what was not used is free again"
    rules.run(detach(ACCOUNT, res, "two", 650))
    assert attached(rules, res, "three", 1).code == "attached_ceiling"
    assert isinstance(rules.run(settle(ACCOUNT, res, 10)), Accepted)
    assert attached(rules, res, "four", 0) == Conflict("settled", len(rules.events))
    assert rules.accounts[ACCOUNT].available == 90, "attached calls charge nothing themselves"


@pytest.mark.requirement("RSV-7")
@pytest.mark.parametrize("close", [settle, release], ids=["settle", "release"])
def test_a_reservation_waits_for_its_calls_or_their_holds(rules, close):
    res = hold(rules)
    attached(rules, res, "short", 1, hold_ms=10_000)
    attached(rules, res, "long", 1, hold_ms=60_000)
    end = (ACCOUNT, res, 10) if close is settle else (ACCOUNT, res)
    last = to_text(rules.at + timedelta(seconds=60))
    assert rules.run(close(*end)) == Declined("calls_open", until=last)
    rules.run(detach(ACCOUNT, res, "long", 1))
    assert rules.run(close(*end)).until == to_text(rules.at + timedelta(seconds=10))
    rules.after(seconds=10)
    assert isinstance(rules.run(close(*end)), Accepted), "the other one's hold is over"


def test_a_call_nobody_detached_counts_at_its_bound(rules):
    res = hold(rules)
    attached(rules, res, "lost", 700, hold_ms=1000)
    rules.after(seconds=5)
    assert attached(rules, res, "next", 301).available == 300
    rules.run(detach(ACCOUNT, res, "lost", 100))
    assert isinstance(attached(rules, res, "next", 900), Accepted), "told late, it counts as told"


def test_a_cost_above_the_bound_is_recorded_and_counts(rules):
    res = hold(rules)
    attached(rules, res, "one", 100)
    assert isinstance(rules.run(detach(ACCOUNT, res, "one", 5 * CEILING)), Accepted)
    declined = attached(rules, res, "two", 0)
    assert (declined.code, declined.available) == ("attached_ceiling", 0)
    assert isinstance(rules.run(settle(ACCOUNT, res, 10)), Accepted)


def test_without_a_ceiling_nothing_may_be_attached(rules):
    res = hold(rules, attached_cost_ceiling=None)
    assert attached(rules, res, "one", 0) == Declined(
        "attached_ceiling", required=0, available=0, total=0
    )


def test_a_call_ends_before_the_reservation_does(rules):
    res = hold(rules, hold_ms=60_000)
    ends = to_text(rules.at + timedelta(seconds=60))
    assert attached(rules, res, "one", 1, hold_ms=60_001) == Declined("hold_too_short", until=ends)
    assert isinstance(attached(rules, res, "one", 1, hold_ms=60_000), Accepted)


def test_fifty_calls_and_no_more(rules):
    res = hold(rules)
    for number in range(50):
        assert isinstance(attached(rules, res, f"call-{number}", 0), Accepted)
    assert attached(rules, res, "one-more", 0).code == "too_many_calls"


def test_only_what_a_service_key_opened_takes_calls(rules):
    inference, res = new_id("key"), new_id("req")
    rules.run(issue_key(ACCOUNT, inference, rules.at))
    given = {"attached_cost_ceiling": CEILING, "hold_ms": 600_000}
    rules.run(reserve(ACCOUNT, inference, 10, rules.at, res=res, **given))
    assert attached(rules, res, "one", 1) == Declined("key_not_allowed", parameter="purpose")


def test_a_frozen_account_and_a_revoked_key_begin_no_call_but_end_those_that_run(rules):
    res, other = hold(rules), hold(rules)
    attached(rules, res, "one", 1)
    rules.run(command(c.FreezeAccount, ACCOUNT, {"reason": "manual"}))
    assert attached(rules, other, "two", 1).code == "account_frozen"
    rules.run(command(c.UnfreezeAccount, ACCOUNT, {"reason": "manual"}))
    revoke = {"key_id": KEY, "reason_code": "lost"}
    rules.run(command(c.RevokeKey, ACCOUNT, revoke, caller_id=f"revoke:{KEY}"))
    assert attached(rules, other, "two", 1).code == "key_revoked"
    assert isinstance(rules.run(detach(ACCOUNT, res, "one", 1)), Accepted)


def test_expiry_ends_the_reservation_whatever_was_attached(rules):
    res = hold(rules, hold_ms=60_000)
    attached(rules, res, "lost", 700, hold_ms=60_000)
    rules.after(seconds=60)
    assert isinstance(rules.run(expire(ACCOUNT, res)), Accepted)
    assert (rules.accounts[ACCOUNT].available, rules.accounts[ACCOUNT].reserved) == (100, 0)
    assert rules.run(detach(ACCOUNT, res, "lost", 1)).code == "reservation_expired"


def test_a_call_that_was_never_attached_cannot_be_detached(rules):
    res = hold(rules)
    declined = rules.run(detach(ACCOUNT, res, "unknown", 1))
    assert declined == Declined("unknown_reservation", parameter="call_id")
