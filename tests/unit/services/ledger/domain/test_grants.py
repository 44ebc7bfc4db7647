from datetime import UTC, datetime, timedelta

import pytest

from libs.events.ids import new_id
from services.ledger.domain.grants import add_months, allocate, split
from services.ledger.domain.state import Accepted, Declined, Grant
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


def test_initial_allocation_comes_with_the_account():
    rules = Rules()
    rules.run(open_account(ACCOUNT, initial=7))
    assert [e.type for e in rules.events] == ["AccountOpened", "CreditsGranted"]
    assert rules.accounts[ACCOUNT].available == 7


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
