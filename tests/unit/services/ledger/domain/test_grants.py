from datetime import UTC, datetime, timedelta

import pytest

from libs.events.ids import new_id
from libs.events.money import NANOS
from services.ledger.domain.grants import add_months, allocate, split
from services.ledger.domain.state import Accepted, Conflict, Declined, Grant
from tests.support.deciding import Rules, grant, issue_key, open_account, release, reserve

ACCOUNT = new_id("acct")
KEY = new_id("key")


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    return rules


def taken(rules: Rules, amount: int) -> list[list[object]]:
    rules.run(reserve(ACCOUNT, KEY, amount, rules.at))
    return rules.events[-1].data["from"]


def test_grants_burn_by_priority_then_expiry_then_age(rules):
    soon, later = rules.at + timedelta(days=1), rules.at + timedelta(days=2)
    rules.run(grant(ACCOUNT, 10))
    rules.run(grant(ACCOUNT, 10, expires_at=later))
    rules.run(grant(ACCOUNT, 10, expires_at=soon))
    rules.run(grant(ACCOUNT, 10, priority=-1))
    rules.run(grant(ACCOUNT, 10))
    assert taken(rules, 45) == [[4, "10"], [3, "10"], [2, "10"], [1, "10"], [5, "5"]]


@pytest.mark.requirement("CRD-3")
def test_an_expired_grant_is_never_spent(rules):
    rules.run(grant(ACCOUNT, 10, expires_at=rules.at + timedelta(seconds=10)))
    rules.after(seconds=10)
    assert rules.run(reserve(ACCOUNT, KEY, 1, rules.at)).code == "insufficient_balance"
    # A decline writes nothing: the expiry is an event of the next accepted command.
    rules.run(grant(ACCOUNT, 5))
    assert [e.type for e in rules.events[-2:]] == ["CreditsExpired", "CreditsGranted"]
    assert rules.accounts[ACCOUNT].available == 5


def test_what_comes_back_to_an_expired_grant_expires_then(rules):
    rules.run(grant(ACCOUNT, 10, expires_at=rules.at + timedelta(seconds=10)))
    res = new_id("req")
    rules.run(reserve(ACCOUNT, KEY, 10, rules.at, res=res))
    rules.after(seconds=11).run(release(ACCOUNT, res))
    assert [e.type for e in rules.events[-2:]] == ["CreditsReleased", "CreditsExpired"]
    assert rules.events[-1].data["cause"] == "returned"
    assert rules.accounts[ACCOUNT].available == 0


def test_shelf_life_is_counted_in_calendar_months(rules):
    rules.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    rules.run(grant(ACCOUNT, 10, shelf_months=1))
    assert rules.events[-1].data["expires_at"] == "2027-02-28T12:00:00.000000Z"
    assert add_months(datetime(2027, 8, 31, tzinfo=UTC), 6) == datetime(2028, 2, 29, tzinfo=UTC)


def test_a_grant_that_is_expired_already_is_declined(rules):
    decision = rules.run(grant(ACCOUNT, 10, expires_at=rules.at))
    assert isinstance(decision, Declined)
    assert decision.code == "grant_expired"


def test_no_more_than_200_live_grants(rules):
    for _ in range(200):
        assert isinstance(rules.run(grant(ACCOUNT, 1)), Accepted)
    assert rules.run(grant(ACCOUNT, 1)).code == "too_many_grants"


@pytest.mark.requirement("ACC-6")
def test_initial_allocation_comes_with_the_account_and_never_again():
    rules = Rules()
    rules.run(open_account(ACCOUNT, initial=7))
    assert [e.type for e in rules.events] == ["AccountOpened", "CreditsGranted"]
    assert rules.events[-1].data["source"] == "initial"
    assert rules.run(open_account(ACCOUNT, initial=7)) == Conflict("fingerprint", None)
    assert rules.accounts[ACCOUNT].available == 7


@pytest.mark.requirement("ACC-6", "ACC-1")
def test_an_account_of_whole_credits_begins_with_whole_credits():
    rules = Rules()
    half = open_account(ACCOUNT, unit="CREDIT", initial=NANOS // 2)
    assert rules.run(half) == Declined("not_integral", parameter="initial")
    assert rules.events == []


@pytest.mark.requirement("CRD-2", "CRD-3", "PAY-6")
@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("purchase", {"payment": "pi_1", "shelf_months": 12}),
        ("recharge", {"payment": "pi_1", "attempt_id": new_id("rchg")}),
        ("subscription", {"expires_at": datetime(2026, 12, 20, 12, tzinfo=UTC)}),
        ("reward", {}),
        ("x402", {}),
        ("admin", {}),
        ("import", {}),
    ],
)
def test_credits_name_where_they_come_from_and_last_as_long_as_was_said(rules, source, given):
    assert isinstance(rules.run(grant(ACCOUNT, 10, source=source, **given)), Accepted)
    data = rules.events[-1].data
    ends = {
        "purchase": "2027-11-20T12:00:00.000000Z",
        "subscription": "2026-12-20T12:00:00.000000Z",
    }
    assert (data["source"], data["expires_at"]) == (source, ends.get(source))
    assert (data["payment"], data["attempt_id"]) == (given.get("payment"), given.get("attempt_id"))


@pytest.mark.requirement("PAY-6", "CRD-4")
def test_the_credits_of_a_subscription_burn_first_and_end_with_their_period(rules):
    rules.run(grant(ACCOUNT, 10, source="purchase", payment="pi_1", priority=100))
    period = rules.at + timedelta(days=30)
    rules.run(grant(ACCOUNT, 10, source="subscription", expires_at=period, priority=50))
    assert taken(rules, 4) == [[2, "4"]]
    rules.at = period
    rules.run(grant(ACCOUNT, 1))
    assert [(e.type, e.data["amount"]) for e in rules.events[-2:]] == [
        ("CreditsExpired", "6"), ("CreditsGranted", "1"),
    ]  # fmt: skip


def test_splitting_an_allocation_keeps_every_nano():
    parts = ((1, 5), (2, 7), (3, 1))
    for amount in range(14):
        used, rest = split(parts, amount)
        assert sum(n for _, n in used) == amount
        assert sum(n for _, n in rest) == 13 - amount


def test_allocating_more_than_there_is_is_a_defect():
    grants = [Grant(1, "admin", 5, 0, 0, None, None)]
    with pytest.raises(ArithmeticError):
        allocate(grants, 6)
