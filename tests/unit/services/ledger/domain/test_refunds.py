"""Refunds give back what was charged, never more, to the grants it came from (CRD-7)."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events.commands import Extend
from libs.events.ids import new_id
from services.ledger.domain.grants import split
from services.ledger.domain.refunds import last_of
from services.ledger.domain.state import Accepted, Declined
from tests.support.deciding import (
    Rules,
    command,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    settle,
)

ACCOUNT = new_id("acct")
KEY = new_id("key")
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}

pytestmark = pytest.mark.requirement("CRD-7")


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    return rules


def charged(rules: Rules, amount: int, margin: int = 0, **data: Any) -> str:
    res = new_id("req")
    assert isinstance(rules.run(reserve(ACCOUNT, KEY, amount, rules.at, res=res, **data)), Accepted)
    assert isinstance(rules.run(settle(ACCOUNT, res, amount, margin=margin)), Accepted)
    return res


def moved(rules: Rules, kind: str = "CreditsRefunded") -> list[dict[str, Any]]:
    return [event.data for event in rules.events if event.type == kind]


def test_a_refund_is_never_more_than_what_is_left_of_the_charge(rules):
    rules.run(grant(ACCOUNT, 100))
    res = charged(rules, 60)
    refused = rules.run(refund(ACCOUNT, res, 61))
    assert (refused.code, refused.required, refused.total) == ("refund_exceeds_charge", 61, 60)
    assert isinstance(rules.run(refund(ACCOUNT, res, 40)), Accepted)
    assert rules.run(refund(ACCOUNT, res, 21, 2)).code == "refund_exceeds_charge"
    assert isinstance(rules.run(refund(ACCOUNT, res, 20, 3)), Accepted)
    assert rules.run(refund(ACCOUNT, res, 1, 4)).code == "refund_exceeds_charge"
    assert rules.accounts[ACCOUNT].available == 100
    assert [data["refund_no"] for data in moved(rules)] == [1, 2]


def test_what_was_consumed_last_comes_back_first(rules):
    rules.run(grant(ACCOUNT, 10))
    rules.run(grant(ACCOUNT, 10))
    res = charged(rules, 20)
    rules.run(refund(ACCOUNT, res, 4))
    rules.run(refund(ACCOUNT, res, 9, 2))
    assert [data["to"] for data in moved(rules)] == [[[2, "4"]], [[2, "6"], [1, "3"]]]
    assert [(g.no, g.available) for g in rules.accounts[ACCOUNT].grants] == [(1, 3), (2, 10)]


def test_a_grant_that_was_spent_is_live_again_as_it_was(rules):
    expires_at = rules.at + timedelta(days=9)
    rules.run(grant(ACCOUNT, 10, priority=3, expires_at=expires_at, source="purchase", payment="p"))
    before = rules.accounts[ACCOUNT].grants
    res = charged(rules, 10)
    assert rules.accounts[ACCOUNT].grants == ()
    rules.run(refund(ACCOUNT, res, 10))
    assert rules.accounts[ACCOUNT].grants == before
    assert rules.accounts[ACCOUNT].next_expiry == before[0].expires_at


def test_what_comes_back_to_an_expired_grant_moves_to_a_child_for_30_days(rules):
    soon = rules.at + timedelta(seconds=10)
    rules.run(grant(ACCOUNT, 10, expires_at=soon, source="purchase", payment="p", priority=-2))
    rules.run(grant(ACCOUNT, 10, expires_at=soon + timedelta(seconds=1), source="reward"))
    rules.run(grant(ACCOUNT, 10))
    res = charged(rules, 25)
    rules.after(days=1).run(refund(ACCOUNT, res, 25))
    events = moved(rules)
    assert [data["to"] for data in events] == [[[3, "5"]], [[4, "10"]], [[5, "10"]]]
    assert [data["refund_no"] for data in events] == [1, 1, 1]
    assert [data["child"] and data["child"]["parent_no"] for data in events] == [None, 2, 1]
    children = {g.no: g for g in rules.accounts[ACCOUNT].grants}
    assert (children[5].source, children[5].payment, children[5].priority) == ("purchase", "p", -2)
    assert children[5].expires_at == "2026-12-21T12:00:00.000000Z"
    assert rules.accounts[ACCOUNT].next_grant_no == 6


def test_a_child_that_expired_has_a_child_of_its_own(rules):
    expires_at = rules.at + timedelta(seconds=10)
    rules.run(grant(ACCOUNT, 10, expires_at=expires_at, source="purchase"))
    res = charged(rules, 10)
    rules.after(days=1).run(refund(ACCOUNT, res, 10))
    again = charged(rules, 10)
    rules.after(days=31).run(refund(ACCOUNT, again, 10))
    child = moved(rules)[-1]["child"]
    assert (child["grant_no"], child["parent_no"]) == (3, 2)
    assert rules.accounts[ACCOUNT].grants[0].source == "purchase"


@pytest.mark.parametrize("margin", [55, -55, 0])
def test_all_parts_together_give_back_exactly_the_margin(rules, margin):
    rules.run(grant(ACCOUNT, 1000))
    res = charged(rules, 701, margin)
    for number, amount in enumerate((1, 99, 300, 2, 299), start=1):
        rules.run(refund(ACCOUNT, res, amount, number))
    parts = [int(data["margin"]) for data in moved(rules)]
    assert sum(parts) == margin
    assert parts[1] == margin * 100 // 701 - parts[0]


def test_only_a_whole_refund_gives_the_fee_back(rules):
    rules.run(grant(ACCOUNT, 100))
    res = charged(rules, 60, fee=FEE)
    rules.run(refund(ACCOUNT, res, 10))
    refused = rules.run(refund(ACCOUNT, res, 10, 2, whole=True))
    assert (refused.code, refused.parameter) == ("refund_exceeds_charge", "whole")
    rules.run(refund(ACCOUNT, res, 50, 3, whole=True))
    assert [data["fee_reversed"] for data in moved(rules)] == [None, FEE]


def test_a_late_settlement_can_be_refunded_with_the_fee_it_accrued(rules):
    rules.run(grant(ACCOUNT, 100))
    res = new_id("req")
    rules.run(reserve(ACCOUNT, KEY, 60, rules.at, res=res, fee=FEE))
    rules.after(minutes=2).run(expire(ACCOUNT, res))
    assert rules.run(refund(ACCOUNT, res, 1)).code == "refund_exceeds_charge"
    rules.run(settle(ACCOUNT, res, 30))
    rules.run(refund(ACCOUNT, res, 30, whole=True))
    assert moved(rules)[0]["fee_reversed"] == FEE
    assert rules.accounts[ACCOUNT].available == 100


def test_what_an_expiry_and_a_late_settlement_charged_is_refunded_together(rules):
    rules.run(grant(ACCOUNT, 100))
    res = new_id("req")
    hold = reserve(ACCOUNT, KEY, 60, rules.at, res=res, fee=FEE, at_deadline="charge")
    used = {"res": res, "total": 60, "hold_ms": 60_000, "used_so_far": 20}
    rules.run(hold)
    rules.run(command(Extend, ACCOUNT, used, caller_id=f"extend:{res}:1", deadline=rules.at))
    rules.after(minutes=2).run(expire(ACCOUNT, res))
    rules.run(settle(ACCOUNT, res, 50))
    assert rules.accounts[ACCOUNT].available == 50
    assert rules.run(refund(ACCOUNT, res, 51)).total == 50
    rules.run(refund(ACCOUNT, res, 50, whole=True))
    assert moved(rules)[0]["fee_reversed"] == FEE, "accrued once, given back once"
    assert rules.accounts[ACCOUNT].available == 100


def test_what_was_never_charged_cannot_be_refunded(rules):
    rules.run(grant(ACCOUNT, 100))
    open_, released = new_id("req"), new_id("req")
    for res in (open_, released):
        rules.run(reserve(ACCOUNT, KEY, 10, rules.at, res=res))
    rules.run(release(ACCOUNT, released))
    for res in (open_, released):
        assert rules.run(refund(ACCOUNT, res, 1)).code == "refund_exceeds_charge"
    assert rules.run(refund(ACCOUNT, new_id("req"), 1)).code == "unknown_reservation"


def test_another_accounts_charge_is_unknown(rules):
    other = new_id("acct")
    rules.run(open_account(other))
    rules.run(grant(ACCOUNT, 100))
    res = charged(rules, 60)
    foreign = rules.run(refund(other, res, 1))
    assert isinstance(foreign, Declined)
    assert foreign.code == "unknown_reservation"


def test_a_refund_needs_room_for_the_grants_it_opens(rules):
    rules.run(grant(ACCOUNT, 10))
    res = charged(rules, 10)
    for _ in range(200):
        rules.run(grant(ACCOUNT, 1))
    assert rules.run(refund(ACCOUNT, res, 10)).code == "too_many_grants"


def test_the_last_part_of_a_charge_is_found_whatever_was_refunded_before():
    taken = ((1, 5), (2, 7), (1, 3))
    for left in range(16):
        for amount in range(left + 1):
            back = dict(last_of(taken, left, amount))
            kept = dict.fromkeys((1, 2), 0)
            for no, part in split(taken, left - amount)[0]:
                kept[no] += part
            whole = dict.fromkeys((1, 2), 0)
            for no, part in split(taken, left)[0]:
                whole[no] += part
            assert {no: kept[no] + back.get(no, 0) for no in kept} == whole
