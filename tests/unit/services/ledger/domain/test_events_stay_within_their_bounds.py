"""What is accepted can be written down, read again, and held by a bigint: also at the edges."""

from typing import Any

import orjson
import pytest

from libs.events import commands as c
from libs.events.events import EVENTS
from libs.events.fields import MAX_ALLOCATIONS
from libs.events.ids import new_id
from libs.events.money import MAX_AMOUNT, MAX_TOTAL, NANOS
from services.ledger.domain.state import Accepted
from services.ledger.snapshots import account_state
from tests.contract import examples
from tests.support.deciding import (
    Rules,
    clawback,
    command,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    reverse,
    settle,
)

ACCOUNT, KEY = new_id("acct"), new_id("key")
DISPUTE = "dispute:dp_1"


@pytest.fixture
def rules() -> Rules:
    return opened("USD")


def opened(unit: str) -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT, unit=unit))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    return rules


def hold(rules: Rules, amount: int, **data: Any) -> str:
    res = new_id("req")
    decision = rules.run(reserve(ACCOUNT, KEY, amount, rules.at, res=res, **data))
    assert isinstance(decision, Accepted), decision
    return res


def extend(rules: Rules, res: str, total: int, number: int = 1, used: int = 0) -> Any:
    data = {"res": res, "total": total, "hold_ms": 60_000, "used_so_far": used}
    caller = f"extend:{res}:{number}"
    return rules.run(command(c.Extend, ACCOUNT, data, caller_id=caller, deadline=rules.at))


def readable(rules: Rules) -> None:
    """Every event is what its model says, and the account's row can be written."""
    for event in rules.events:
        body = {**examples.event(event.type), "account_id": ACCOUNT, "data": event.data}
        EVENTS[event.type].model_validate_json(orjson.dumps(body))
    account_state(rules.accounts[ACCOUNT])


@pytest.mark.requirement("RSV-5")
def test_an_extension_names_no_more_grants_than_a_settlement_can(rules):
    """A part of the first grant is free again: it would stand in the hold a second time."""
    rules.run(grant(ACCOUNT, 2))
    for _ in range(199):
        rules.run(grant(ACCOUNT, 1))
    first, mine = hold(rules, 1), hold(rules, 200)
    rules.run(release(ACCOUNT, first))
    assert len(rules.reservations[mine].taken) == MAX_ALLOCATIONS
    assert extend(rules, mine, 201).code == "too_many_grants"
    assert isinstance(extend(rules, mine, 200, 2), Accepted), "its deadline may still move"
    assert isinstance(rules.run(settle(ACCOUNT, mine, 200)), Accepted)
    readable(rules)


@pytest.mark.requirement("RSV-2")
def test_an_overrun_takes_from_as_many_grants_as_its_event_can_name(rules):
    for _ in range(100):
        rules.run(grant(ACCOUNT, 1))
    res = hold(rules, 100)
    rules.run(release(ACCOUNT, hold_of_more(rules, 100)))
    assert isinstance(rules.run(settle(ACCOUNT, res, 500)), Accepted)
    data = rules.events[-1].data
    assert (data["charge"], data["loss"], len(data["taken"])) == ("200", "300", MAX_ALLOCATIONS)
    readable(rules)


def hold_of_more(rules: Rules, grants: int) -> str:
    for _ in range(grants):
        rules.run(grant(ACCOUNT, 1))
    return hold(rules, grants)


@pytest.mark.requirement("RSV-4", "ACC-1")
def test_what_a_stream_reports_is_in_the_accounts_unit_and_never_falls():
    rules = opened("CREDIT")
    rules.run(grant(ACCOUNT, 9 * NANOS))
    res = hold(rules, 5 * NANOS, at_deadline="charge")
    refused = extend(rules, res, 5 * NANOS, used=NANOS // 2)
    assert (refused.code, refused.parameter) == ("not_integral", "used_so_far")
    extend(rules, res, 5 * NANOS, 2, used=3 * NANOS)
    extend(rules, res, 5 * NANOS, 1, used=2 * NANOS)  # it was under way for longer
    assert rules.reservations[res].used_so_far == 3 * NANOS


@pytest.mark.requirement("PAY-5", "ACC-1")
def test_a_claim_of_an_amount_is_whole_and_names_a_grant_of_the_payment():
    rules = opened("CREDIT")
    rules.run(grant(ACCOUNT, 9 * NANOS, source="purchase", payment="pi_1"))
    rules.run(grant(ACCOUNT, NANOS))
    told = {"payment": "pi_1", "cause": DISPUTE, "amount": NANOS // 2}
    refused = rules.run(command(c.Clawback, ACCOUNT, told))
    assert (refused.code, refused.parameter) == ("not_integral", "amount")
    told |= {"amount": NANOS, "grant_no": 2}
    assert rules.run(command(c.Clawback, ACCOUNT, told)).code == "unknown_grant"
    assert isinstance(rules.run(command(c.Clawback, ACCOUNT, told | {"grant_no": 1})), Accepted)
    assert rules.accounts[ACCOUNT].available == 9 * NANOS


@pytest.mark.requirement("CRD-7", "CRD-1")
def test_what_comes_back_never_makes_a_balance_too_large(rules):
    rules.run(grant(ACCOUNT, MAX_AMOUNT, source="purchase", payment="pi_1"))
    res = hold(rules, MAX_AMOUNT)
    rules.run(settle(ACCOUNT, res, MAX_AMOUNT))
    rules.run(clawback(ACCOUNT, "pi_1", 1, 1, DISPUTE))
    rules.run(grant(ACCOUNT, MAX_AMOUNT))
    rules.run(grant(ACCOUNT, MAX_AMOUNT - 1))
    assert rules.accounts[ACCOUNT].total == MAX_TOTAL
    refused = rules.run(refund(ACCOUNT, res, 1))
    assert (refused.code, refused.total) == ("not_integral", MAX_TOTAL)
    readable(rules)


@pytest.mark.requirement("PAY-4")
def test_a_reversal_needs_room_as_a_grant_does(rules):
    rules.run(grant(ACCOUNT, MAX_AMOUNT, source="purchase", payment="pi_1"))
    rules.run(clawback(ACCOUNT, "pi_1", 1, 1, DISPUTE))
    for _ in range(200):
        rules.run(grant(ACCOUNT, 1))
    assert rules.run(reverse(ACCOUNT, DISPUTE)).code == "too_many_grants"
    res = hold(rules, 1)
    rules.run(settle(ACCOUNT, res, 1))
    rules.run(grant(ACCOUNT, MAX_AMOUNT))
    rules.run(settle(ACCOUNT, hold(rules, 1), 1))
    assert rules.run(reverse(ACCOUNT, DISPUTE)).code == "not_integral"
    rules.run(settle(ACCOUNT, hold(rules, MAX_AMOUNT), MAX_AMOUNT))
    assert isinstance(rules.run(reverse(ACCOUNT, DISPUTE)), Accepted)
    readable(rules)


@pytest.mark.requirement("PAY-5")
def test_a_claim_on_very_large_grants_is_an_amount_an_event_can_hold(rules):
    for _ in range(3):
        rules.run(grant(ACCOUNT, MAX_AMOUNT, source="purchase", payment="pi_1"))
        rules.run(settle(ACCOUNT, hold(rules, MAX_AMOUNT), MAX_AMOUNT))
    assert isinstance(rules.run(clawback(ACCOUNT, "pi_1", 1, 1, DISPUTE)), Accepted)
    assert rules.events[-1].data["shortfall"] == str(MAX_AMOUNT)
    readable(rules)


@pytest.mark.requirement("ACC-4", "ACC-8")
def test_counters_stay_within_what_a_row_can_hold(rules):
    capped = new_id("key")
    rules.run(issue_key(ACCOUNT, capped, rules.at, cap_day=MAX_AMOUNT))
    for _ in range(5):
        rules.run(grant(ACCOUNT, MAX_AMOUNT))
        res = new_id("req")
        told = reserve(ACCOUNT, capped, MAX_AMOUNT, rules.after(days=1).at, res=res)
        assert isinstance(rules.run(told), Accepted)
        rules.run(settle(ACCOUNT, res, MAX_AMOUNT))
    assert rules.accounts[ACCOUNT].counters[capped].total == MAX_TOTAL
    readable(rules)


@pytest.mark.requirement("RCH-4")
def test_sums_of_recharges_stay_within_what_a_row_can_hold(rules):
    policy = {"enabled": True, "threshold": NANOS, "basis": "total", "amount": NANOS}
    rules.run(command(c.ConfigureRecharge, ACCOUNT, policy))
    for _ in range(4):
        attempt = new_id("rchg")
        price = {"currency": "USD", "minor": MAX_AMOUNT * 100 // NANOS}
        data = {"attempt_id": attempt, "credits": 1, "price": price, "trigger": "1-0-1"}
        told = command(c.StartRecharge, ACCOUNT, data, caller_id=attempt, deadline=rules.at)
        assert isinstance(rules.run(told), Accepted)
        paid = grant(ACCOUNT, 1, source="recharge", payment=attempt, attempt_id=attempt)
        assert isinstance(rules.run(paid), Accepted)
    readable(rules)


@pytest.mark.requirement("PAY-4")
def test_an_account_may_be_frozen_for_more_reasons_than_an_event_names(rules):
    reasons = [f"dispute:dp_{number}" for number in range(150)]
    for reason in reasons:
        rules.run(command(c.FreezeAccount, ACCOUNT, {"reason": reason}))
    for reason in reasons:
        assert rules.accounts[ACCOUNT].status == "frozen"
        told = command(c.UnfreezeAccount, ACCOUNT, {"reason": reason})
        assert isinstance(rules.run(told), Accepted)
    assert rules.accounts[ACCOUNT].status == "open"
    readable(rules)
