"""What went back to the payer is taken back, at most once and at most what was granted."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from services.ledger.domain.state import Accepted
from tests.support.deciding import (
    Rules,
    clawback,
    command,
    correct,
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
KEY = new_id("key")
DISPUTE, REFUND = "dispute:dp_1", "refund:re_1"

pytestmark = pytest.mark.requirement("PAY-4", "PAY-5")


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    return rules


def buy(rules: Rules, amount: int, payment: str = "pi_1", **data: Any) -> None:
    bought = grant(ACCOUNT, amount, source="purchase", payment=payment, **data)
    assert isinstance(rules.run(bought), Accepted)


def hold(rules: Rules, amount: int) -> str:
    res = new_id("req")
    assert isinstance(rules.run(reserve(ACCOUNT, KEY, amount, rules.at, res=res)), Accepted)
    return res


def spend(rules: Rules, amount: int) -> str:
    res = hold(rules, amount)
    rules.run(settle(ACCOUNT, res, amount))
    return res


def claim(rules: Rules, returned: int, paid: int, cause: str = DISPUTE) -> list[tuple[int, ...]]:
    return clawed(rules, clawback(ACCOUNT, "pi_1", returned, paid, cause))


def clawed(rules: Rules, told: c.Command) -> list[tuple[int, ...]]:
    """(grant, amount, due, shortfall) of each CreditsClawedBack of a command."""
    before = len(rules.events)
    assert isinstance(rules.run(told), Accepted)
    return [
        (event.data["grant_no"], *(int(event.data[n]) for n in ("amount", "due", "shortfall")))
        for event in rules.events[before:]
        if event.type == "CreditsClawedBack"
    ]


def restored(rules: Rules, cause: str) -> list[tuple[int, ...]]:
    """(grant, amount, due_cancelled, shortfall_cancelled) of each ClawbackReversed."""
    before = len(rules.events)
    assert isinstance(rules.run(reverse(ACCOUNT, cause)), Accepted)
    names = ("amount", "due_cancelled", "shortfall_cancelled")
    return [
        (event.data["grant_no"], *(int(event.data[name]) for name in names))
        for event in rules.events[before:]
        if event.type == "ClawbackReversed"
    ]


def balance(rules: Rules) -> tuple[int, int]:
    return rules.accounts[ACCOUNT].available, rules.accounts[ACCOUNT].reserved


def test_a_part_of_the_payment_takes_that_part_of_its_grant_rounded_down(rules):
    buy(rules, 1000)
    assert claim(rules, 333, 1000, REFUND) == [(1, 333, 0, 0)]
    assert claim(rules, 2, 3, "refund:re_2") == [(1, 333, 0, 0)], "666 in all: 333 more"
    assert claim(rules, 1000, 1000, "refund:re_3") == [(1, 334, 0, 0)], "all when equal"
    assert balance(rules) == (0, 0)


def test_whole_credits_are_taken_of_credit_accounts():
    rules = Rules()
    rules.run(open_account(ACCOUNT, unit="CREDIT"))
    buy(rules, 100 * 10**9)
    assert claim(rules, 1, 3) == [(1, 33 * 10**9, 0, 0)]


def test_claims_on_one_payment_overlap_the_largest_counts(rules):
    buy(rules, 1000)
    claim(rules, 600, 1000)
    assert claim(rules, 300, 1000, REFUND) == [(1, 0, 0, 0)], "recorded, nothing more is taken"
    assert claim(rules, 700, 1000, "refund:re_2") == [(1, 100, 0, 0)]
    assert balance(rules) == (300, 0)


def test_what_was_spent_is_shortfall_and_no_balance_is_negative(rules):
    buy(rules, 1000)
    spend(rules, 900)
    assert claim(rules, 1000, 1000) == [(1, 100, 0, 900)]
    assert balance(rules) == (0, 0)


def test_other_grants_pay_nothing_of_a_payment_they_are_not_of(rules):
    rules.run(grant(ACCOUNT, 500))
    buy(rules, 1000)
    buy(rules, 70, "pi_2")
    assert claim(rules, 1000, 1000) == [(2, 1000, 0, 0)]
    assert balance(rules) == (570, 0)


def test_reserved_credits_do_not_escape_clawback(rules):
    buy(rules, 1000)
    kept, back = hold(rules, 600), hold(rules, 300)
    assert claim(rules, 1000, 1000) == [(1, 100, 900, 0)]
    assert clawed(rules, release(ACCOUNT, back)) == [(1, 300, 600, 0)]
    assert balance(rules) == (0, 600), "what came back was never available"
    assert clawed(rules, settle(ACCOUNT, kept, 450)) == [(1, 150, 0, 450)]
    assert balance(rules) == (0, 0)
    assert rules.accounts[ACCOUNT].dues == {}


def test_what_an_expired_hold_gives_back_pays_what_is_due(rules):
    buy(rules, 1000)
    res = hold(rules, 1000)
    assert claim(rules, 400, 1000) == [(1, 0, 400, 0)]
    assert clawed(rules.after(minutes=2), expire(ACCOUNT, res)) == [(1, 400, 0, 0)]
    assert balance(rules) == (600, 0)


def test_what_is_due_is_taken_before_the_grant_expires(rules):
    buy(rules, 1000, expires_at=rules.at + timedelta(seconds=30))
    res = hold(rules, 1000)
    claim(rules, 400, 1000)
    rules.after(minutes=1).run(release(ACCOUNT, res))
    kinds = [(event.type, event.data["amount"]) for event in rules.events[-2:]]
    assert kinds == [("CreditsClawedBack", "400"), ("CreditsExpired", "600")]


def test_refund_to_expired_grant_then_chargeback_never_exceeds_payment(rules):
    buy(rules, 1000, expires_at=rules.at + timedelta(seconds=30))
    res = spend(rules, 1000)
    rules.after(days=1).run(refund(ACCOUNT, res, 700))
    assert claim(rules, 1000, 1000) == [(1, 0, 0, 300), (2, 700, 0, 0)]
    assert balance(rules) == (0, 0)
    assert claim(rules, 1000, 1000, REFUND) == [(1, 0, 0, 0)], "nothing more, whoever asks"


def test_a_refund_pays_what_its_expired_grant_owes_before_a_child_is_opened(rules):
    buy(rules, 1000, expires_at=rules.at + timedelta(seconds=30))
    spent, held = spend(rules, 500), hold(rules, 500)
    claim(rules, 600, 1000)
    rules.after(seconds=40)
    assert clawed(rules, refund(ACCOUNT, spent, 500)) == [(1, 500, 0, 0)]
    assert clawed(rules, release(ACCOUNT, held)) == []
    assert rules.events[-1].type == "CreditsExpired"


def test_what_comes_back_to_a_sister_grant_pays_what_the_other_owes(rules):
    buy(rules, 100)
    buy(rules, 100)
    first, second = hold(rules, 100), hold(rules, 100)
    rules.run(settle(ACCOUNT, second, 100))
    assert claim(rules, 1, 2) == [(1, 0, 100, 0)]
    assert clawed(rules, refund(ACCOUNT, second, 80)) == [(1, 0, 20, 0), (2, 80, 0, 0)]
    assert clawed(rules, release(ACCOUNT, first)) == [(1, 20, 0, 0)]
    assert balance(rules) == (80, 0)


def test_a_won_dispute_gives_back_what_only_it_took(rules):
    buy(rules, 1000)
    spend(rules, 300)
    claim(rules, 500, 1000, REFUND)
    assert claim(rules, 1000, 1000) == [(1, 200, 0, 300)]
    assert restored(rules, DISPUTE) == [(1, 200, 0, 300)]
    assert balance(rules) == (200, 0)
    assert restored(rules, REFUND) == [(1, 500, 0, 0)]
    assert balance(rules) == (700, 0)
    assert rules.run(reverse(ACCOUNT, REFUND)).code == "unknown_cause"


def test_a_reversal_cancels_what_is_due_before_it_gives_credits(rules):
    buy(rules, 1000)
    res = hold(rules, 300)
    assert claim(rules, 400, 1000, REFUND) == [(1, 400, 0, 0)]
    assert claim(rules, 1000, 1000) == [(1, 300, 300, 0)]
    assert restored(rules, DISPUTE) == [(1, 300, 300, 0)]
    assert clawed(rules, release(ACCOUNT, res)) == []
    assert balance(rules) == (600, 0)


def test_what_remains_due_is_due_for_the_claim_that_stands(rules):
    buy(rules, 1000)
    res = hold(rules, 1000)
    claim(rules, 300, 1000, REFUND)
    claim(rules, 900, 1000)
    assert restored(rules, DISPUTE) == [(1, 0, 600, 0)]
    assert rules.accounts[ACCOUNT].dues[1].cause == REFUND
    assert clawed(rules, release(ACCOUNT, res)) == [(1, 300, 0, 0)]
    assert rules.events[-1].data["cause"] == REFUND


def test_a_smaller_claim_does_not_rename_what_is_due(rules):
    buy(rules, 1000)
    hold(rules, 1000)
    claim(rules, 900, 1000)
    assert claim(rules, 300, 1000, REFUND) == [(1, 0, 900, 0)]
    assert rules.accounts[ACCOUNT].dues[1].cause == DISPUTE


def test_what_a_reversal_gives_back_to_an_expired_grant_expires(rules):
    buy(rules, 1000, expires_at=rules.at + timedelta(days=1))
    claim(rules, 1000, 1000)
    rules.after(days=2).run(reverse(ACCOUNT, DISPUTE))
    assert [event.type for event in rules.events[-2:]] == ["ClawbackReversed", "CreditsExpired"]
    assert balance(rules) == (0, 0)


def test_unknown_payments_and_causes_are_declined(rules):
    buy(rules, 1000)
    assert rules.run(clawback(ACCOUNT, "pi_9", 1, 1, DISPUTE)).code == "unknown_payment"
    assert rules.run(reverse(ACCOUNT, DISPUTE)).code == "unknown_cause"


@pytest.mark.requirement("CRD-2")
def test_a_correction_takes_only_what_is_available(rules):
    rules.run(grant(ACCOUNT, 100))
    rules.run(grant(ACCOUNT, 100, priority=-1))
    hold(rules, 50)
    refused = rules.run(correct(ACCOUNT, 151))
    assert (refused.code, refused.required, refused.available) == ("insufficient_balance", 151, 150)
    assert rules.run(correct(ACCOUNT, 51, grant_no=2)).code == "insufficient_balance"
    assert rules.run(correct(ACCOUNT, 1, grant_no=3)).code == "unknown_grant"
    assert clawed(rules, correct(ACCOUNT, 60)) == [(2, 50, 0, 0), (1, 10, 0, 0)]
    assert clawed(rules, correct(ACCOUNT, 20, "write_off", grant_no=1)) == [(1, 20, 0, 0)]
    assert balance(rules) == (70, 50)


def test_a_correction_is_no_claim_and_cannot_be_reversed_as_one(rules):
    buy(rules, 1000)
    rules.run(correct(ACCOUNT, 400, grant_no=1))
    assert claim(rules, 1000, 1000) == [(1, 600, 0, 400)]
    assert rules.run(reverse(ACCOUNT, "adjustment")).code == "unknown_cause"


def test_a_closed_account_loses_what_is_claimed_and_gets_nothing_back(rules):
    buy(rules, 1000)
    res = spend(rules, 400)
    closing = {"write_off": True, "reason_code": "customer_left"}
    assert isinstance(rules.run(command(c.CloseAccount, ACCOUNT, closing)), Accepted)
    assert claim(rules, 1000, 1000) == [(1, 0, 0, 1000)]
    for late in (reverse(ACCOUNT, DISPUTE), refund(ACCOUNT, res, 1), correct(ACCOUNT, 1)):
        assert rules.run(late).code == "account_closed"


def test_a_frozen_account_is_clawed_back_and_refunded(rules):
    buy(rules, 1000)
    res = spend(rules, 400)
    freeze = {"reason": DISPUTE, "revoke_keys": True}
    rules.run(command(c.FreezeAccount, ACCOUNT, freeze, caller_id=f"freeze:{DISPUTE}"))
    assert isinstance(rules.run(refund(ACCOUNT, res, 100)), Accepted)
    assert claim(rules, 1000, 1000) == [(1, 700, 0, 300)]
