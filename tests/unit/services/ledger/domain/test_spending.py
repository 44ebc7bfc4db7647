from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
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


@pytest.fixture
def rules() -> Rules:
    rules = Rules(at=datetime(2026, 11, 30, 23, 0, tzinfo=UTC))
    rules.run(open_account(ACCOUNT))
    rules.run(grant(ACCOUNT, 1000))
    return rules


def key(rules: Rules, **data: Any) -> str:
    made = new_id("key")
    assert isinstance(rules.run(issue_key(ACCOUNT, made, rules.at, **data)), Accepted)
    return made


def hold(rules: Rules, key_id: str, amount: int, **data: Any) -> Any:
    res = new_id("req")
    decision = rules.run(reserve(ACCOUNT, key_id, amount, rules.at, res=res, **data))
    return res if isinstance(decision, Accepted) else decision


def limits(rules: Rules, day: int | None = None, month: int | None = None) -> None:
    data = {"day": day, "month": month, "alerts": [50, 90]}
    rules.run(command(c.SetSpendLimits, ACCOUNT, data))


@pytest.mark.requirement("ACC-4")
@pytest.mark.parametrize(
    ("cap", "until"),
    [
        ("cap_total", None),
        ("cap_day", "2026-12-01T00:00:00.000000Z"),
        ("cap_month", "2026-12-01T00:00:00.000000Z"),
    ],
)
def test_a_cap_counts_what_is_held_and_what_was_charged(rules, cap, until):
    made = key(rules, **{cap: 100})
    first = hold(rules, made, 60)
    refused = hold(rules, made, 41)
    assert (refused.code, refused.limit_source, refused.until) == (f"key_{cap}", "key_cap", until)
    rules.run(settle(ACCOUNT, first, 30))  # 30 of the 60 came back
    assert isinstance(hold(rules, made, 70), str)
    assert hold(rules, made, 1).code == f"key_{cap}"


def test_what_fits_the_cap_is_held_when_at_least_allows_it(rules):
    made = key(rules, cap_total=100)
    res = hold(rules, made, 500, at_least=50)
    assert rules.reservations[res].amount == 100


@pytest.mark.requirement("ACC-4")
def test_cap_window_settle_next_day_and_rotation(rules):
    made = key(rules, cap_day=100)
    yesterday = hold(rules, made, 100)
    rules.after(hours=2)  # the next day, and the next month
    today = hold(rules, made, 100)
    assert isinstance(today, str)
    rules.run(settle(ACCOUNT, yesterday, 10))  # its 90 come back to yesterday's window
    assert hold(rules, made, 1).code == "key_cap_day"
    fresh = key(rules, cap_day=100, rotates=made, overlap_ms=1000)
    assert hold(rules, fresh, 1).code == "key_cap_day", "a lineage keeps its counter"
    rules.run(release(ACCOUNT, today))
    assert isinstance(hold(rules, fresh, 100), str)


@pytest.mark.requirement("ACC-8")
def test_the_owners_limits_hold_for_all_keys_together(rules):
    one, two = key(rules), key(rules)
    limits(rules, day=100, month=150)
    assert isinstance(hold(rules, one, 60), str)
    refused = hold(rules, two, 41)
    assert (refused.code, refused.limit_source) == ("account_cap_day", "account_cap")
    assert isinstance(hold(rules, two, 40), str)
    limits(rules)
    assert isinstance(hold(rules, two, 500), str)


def test_the_months_limit_outlives_the_day(rules):
    rules.at = datetime(2026, 11, 10, tzinfo=UTC)
    made = key(rules)
    limits(rules, day=100, month=150)
    hold(rules, made, 100)
    rules.after(days=1)
    assert hold(rules, made, 51).code == "account_cap_month"


def extend(rules: Rules, res: str, total: int, number: int = 1, **data: Any) -> Any:
    given = {"res": res, "total": total, "hold_ms": 120_000, "used_so_far": 0, **data}
    caller = f"extend:{res}:{number}"
    return rules.run(
        command(
            c.Extend, ACCOUNT, given, caller_id=caller, deadline=rules.at + timedelta(seconds=5)
        )
    )


@pytest.mark.requirement("RSV-5")
def test_extending_names_a_total_and_never_overdraws(rules):
    made = key(rules)
    res = hold(rules, made, 600)
    assert isinstance(extend(rules, res, 900), Accepted)
    assert isinstance(extend(rules, res, 900, 2), Accepted), "the same total adds nothing"
    assert rules.reservations[res].amount == 900
    refused = extend(rules, res, 1001, 3)
    assert (refused.code, refused.required) == ("insufficient_balance", 101)
    rules.run(settle(ACCOUNT, res, 850))
    assert rules.accounts[ACCOUNT].available == 150


def test_extending_moves_the_deadline_and_is_capped(rules):
    made = key(rules, cap_total=700)
    res = hold(rules, made, 600)
    assert extend(rules, res, 701).code == "key_cap_total"
    before = rules.reservations[res].expires_at
    extend(rules, res, 700, 2)
    assert rules.reservations[res].expires_at > before
    rules.after(minutes=3)
    assert extend(rules, res, 700, 3).code == "reservation_expired"


def test_a_fee_is_accrued_with_the_hold_and_reversed_with_its_release(rules):
    made = key(rules)
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    kept, given_back = hold(rules, made, 10, fee=fee), hold(rules, made, 10, fee=fee)
    rules.run(settle(ACCOUNT, kept, 5))
    rules.run(release(ACCOUNT, given_back))
    accrued = [e.data["fee"] for e in rules.events if e.type == "CreditsReserved"]
    reversed_ = [e.data["fee_reversed"] for e in rules.events if e.type == "CreditsReleased"]
    assert (accrued, reversed_) == ([fee, fee], [fee])
    assert rules.accounts[ACCOUNT].total == 995, "never part of the balance"


def test_late_settlement_accrues_the_fee_again(rules):
    made = key(rules)
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    res = hold(rules, made, 10, fee=fee)
    rules.after(seconds=61)
    expiry = command(c.ExpireReservation, ACCOUNT, {"res": res}, caller_id=f"expire:{res}")
    rules.run(expiry)
    assert rules.events[-1].data["fee_reversed"] == fee
    rules.run(settle(ACCOUNT, res, 5))
    assert rules.events[-1].data["fee"] == fee


def close(rules: Rules, *, write_off: bool) -> Any:
    data = {"write_off": write_off, "reason_code": "customer_left"}
    return rules.run(command(c.CloseAccount, ACCOUNT, data))


@pytest.mark.requirement("ACC-8")
def test_an_account_is_closed_empty_or_written_off_by_name(rules):
    made = key(rules)
    res = hold(rules, made, 10)
    assert close(rules, write_off=True).code == "account_not_empty"
    rules.run(release(ACCOUNT, res))
    assert close(rules, write_off=False).code == "account_not_empty"
    assert isinstance(close(rules, write_off=True), Accepted)
    account = rules.accounts[ACCOUNT]
    assert (account.status, account.total, account.keys[made].revoked) == ("closed", 0, True)
    assert rules.run(grant(ACCOUNT, 1)).code == "account_closed"
    assert hold(rules, made, 1).code == "account_closed"


@pytest.mark.requirement("ACC-8")
def test_a_hold_made_before_the_limits_gives_them_nothing_back(rules):
    made = key(rules)
    before = hold(rules, made, 300)
    limits(rules, day=100)
    hold(rules, made, 80)
    rules.run(release(ACCOUNT, before))
    assert hold(rules, made, 21).code == "account_cap_day"


@pytest.mark.requirement("ACC-8")
def test_lifting_the_limits_for_a_while_forgets_nothing_that_was_counted(rules):
    made = key(rules)
    limits(rules, day=100)
    first = hold(rules, made, 50)
    limits(rules)
    limits(rules, day=100)
    rules.run(settle(ACCOUNT, first, 50))
    assert hold(rules, made, 51).code == "account_cap_day"
