from datetime import timedelta

import pytest

from libs.events import commands as c
from libs.events.commands import Extend
from libs.events.ids import new_id
from libs.events.money import NANOS
from services.ledger.domain.state import Accepted, Conflict, Declined, Retry
from tests.support.deciding import (
    Rules,
    command,
    expire,
    grant,
    issue_key,
    open_account,
    release,
    reserve,
    settle,
)

ACCOUNT = new_id("acct")
KEY = new_id("key")


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    rules.run(grant(ACCOUNT, 100))
    return rules


def hold(rules: Rules, amount: int, **data: object) -> str:
    res = new_id("req")
    decision = rules.run(reserve(ACCOUNT, KEY, amount, rules.at, res=res, **data))
    assert isinstance(decision, Accepted), decision
    return res


def balance(rules: Rules) -> tuple[int, int]:
    account = rules.accounts[ACCOUNT]
    return account.available, account.reserved


@pytest.mark.requirement("CRD-5", "RSV-1")
def test_a_hold_never_exceeds_what_is_available(rules):
    hold(rules, 100)
    declined = rules.run(reserve(ACCOUNT, KEY, 1, rules.at))
    assert declined == Declined(
        "insufficient_balance", required=1, available=0, reserved=100, total=100,
        limit_source="in_flight",
    )  # fmt: skip
    assert balance(rules) == (0, 100)


def test_too_little_in_total_is_a_matter_of_balance(rules):
    declined = rules.run(reserve(ACCOUNT, KEY, 101, rules.at))
    assert declined.limit_source == "balance"


def test_a_hold_takes_what_is_there_when_at_least_allows_it(rules):
    res = hold(rules, 500, at_least=40)
    assert rules.reservations[res].amount == 100
    assert balance(rules) == (0, 100)


def test_settling_charges_and_returns_the_rest(rules):
    res = hold(rules, 60)
    rules.run(settle(ACCOUNT, res, 25))
    assert balance(rules) == (75, 0)
    data = rules.events[-1].data
    assert (data["charge"], data["loss"], data["returned"]) == ("25", "0", [[1, "35"]])


def test_above_the_hold_takes_what_is_available_and_the_rest_is_our_loss(rules):
    res = hold(rules, 60)
    rules.run(settle(ACCOUNT, res, 130))
    assert balance(rules) == (0, 0)
    data = rules.events[-1].data
    assert (data["charge"], data["extra"], data["loss"], data["loss_kind"]) == (
        "100", "40", "30", "overrun",
    )  # fmt: skip


def test_an_overrun_leaves_no_trace_of_a_spent_grant(rules):
    rules.run(grant(ACCOUNT, 50))
    res = hold(rules, 90)
    rules.run(settle(ACCOUNT, res, 120))
    account = rules.accounts[ACCOUNT]
    assert balance(rules) == (30, 0)
    assert [(g.no, g.available, g.reserved) for g in account.grants] == [(2, 30, 0)]


def test_release_gives_everything_back(rules):
    res = hold(rules, 60)
    rules.run(release(ACCOUNT, res))
    assert balance(rules) == (100, 0)


def test_settle_after_release_is_a_conflict(rules):
    res = hold(rules, 60)
    rules.run(release(ACCOUNT, res))
    assert rules.run(settle(ACCOUNT, res, 1)) == Conflict("released", len(rules.events))


def test_release_after_settle_is_a_conflict(rules):
    res = hold(rules, 60)
    rules.run(settle(ACCOUNT, res, 1))
    assert rules.run(release(ACCOUNT, res)) == Conflict("settled", len(rules.events))


def test_release_of_a_reserve_still_under_way_is_retried_until_its_deadline(rules):
    deadline = rules.at + timedelta(seconds=5)
    early = release(ACCOUNT, new_id("req"), reserve_deadline=deadline)
    assert rules.run(early) == Retry()
    rules.after(seconds=5)
    assert rules.run(early) == Retry(), "the Reserve may still be admitted at its deadline itself"
    rules.after(microseconds=1)
    assert rules.run(early) == Declined("unknown_reservation")


@pytest.mark.requirement("RSV-3")
def test_other_tenants_reservation_id_is_foreign(rules):
    res = hold(rules, 60)
    other = new_id("acct")
    rules.run(open_account(other))
    assert rules.run(settle(other, res, 1)) == Declined("unknown_reservation")
    assert rules.run(release(other, res)) == Declined("unknown_reservation")
    assert balance(rules) == (40, 60)


def test_expiry_releases_what_nobody_settled(rules):
    res = hold(rules, 60)
    assert isinstance(rules.run(expire(ACCOUNT, res)), Declined), "not due yet"
    rules.after(seconds=61).run(expire(ACCOUNT, res))
    assert balance(rules) == (100, 0)


def test_a_late_settlement_is_booked_once_and_bounded(rules):
    res = hold(rules, 60)
    rules.after(seconds=61).run(expire(ACCOUNT, res))
    rules.run(settle(ACCOUNT, res, 80))
    assert balance(rules) == (40, 0)
    data = rules.events[-1].data
    assert (data["charge"], data["loss"], data["loss_kind"], data["reserved_was"]) == (
        "60", "20", "late", "0",
    )  # fmt: skip


def test_a_late_settlement_takes_no_more_than_is_available(rules):
    res = hold(rules, 60)
    rules.after(seconds=61).run(expire(ACCOUNT, res))
    hold(rules, 90)
    rules.run(settle(ACCOUNT, res, 60))
    assert balance(rules) == (0, 90)
    assert rules.events[-1].data["loss"] == "50"


def test_a_command_after_its_deadline_is_declined(rules):
    late = reserve(ACCOUNT, KEY, 1, rules.at - timedelta(microseconds=1))
    assert rules.run(late) == Declined("deadline_passed")


@pytest.mark.requirement("ACC-1")
def test_credits_are_whole():
    rules = Rules()
    rules.run(open_account(ACCOUNT, unit="CREDIT"))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    assert rules.run(grant(ACCOUNT, NANOS + 1)).code == "not_integral"
    rules.run(grant(ACCOUNT, 2 * NANOS))
    assert rules.run(reserve(ACCOUNT, KEY, NANOS // 2, rules.at)).code == "not_integral"
    res = hold(rules, NANOS)
    assert rules.run(settle(ACCOUNT, res, 1)).code == "not_integral"


@pytest.mark.requirement("ACC-3")
@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"expires_at": timedelta(seconds=1)}, "key_expired"),
        ({"allowed": ["other"]}, "key_not_allowed"),
        ({"purpose": "account"}, "key_not_allowed"),
    ],
)
def test_a_key_pays_only_for_what_it_may(rules, key, code):
    given = {name: rules.at + v if name == "expires_at" else v for name, v in key.items()}
    limited = new_id("key")
    rules.run(issue_key(ACCOUNT, limited, rules.at, **given))
    rules.after(seconds=1)
    assert rules.run(reserve(ACCOUNT, limited, 1, rules.at)).code == code
    assert balance(rules) == (100, 0)


@pytest.mark.requirement("ACC-3")
def test_revoked_unknown_and_frozen_reserve_nothing(rules):
    from libs.events import commands as c

    assert rules.run(reserve(ACCOUNT, new_id("key"), 1, rules.at)).code == "unknown_key"
    freeze = {"reason": "manual"}
    rules.run(command(c.FreezeAccount, ACCOUNT, freeze))
    assert rules.run(reserve(ACCOUNT, KEY, 1, rules.at)).code == "account_frozen"
    rules.run(command(c.UnfreezeAccount, ACCOUNT, freeze))
    hold(rules, 1)
    revoke = {"key_id": KEY, "reason_code": "lost"}
    rules.run(command(c.RevokeKey, ACCOUNT, revoke, caller_id=f"revoke:{KEY}"))
    assert rules.run(reserve(ACCOUNT, KEY, 1, rules.at)).code == "key_revoked"


def test_settling_and_releasing_pass_on_a_frozen_account(rules):
    from libs.events import commands as c

    first, second = hold(rules, 30), hold(rules, 30)
    rules.run(command(c.FreezeAccount, ACCOUNT, {"reason": "manual", "revoke_keys": True}))
    assert isinstance(rules.run(settle(ACCOUNT, first, 10)), Accepted)
    assert isinstance(rules.run(release(ACCOUNT, second)), Accepted)
    assert balance(rules) == (90, 0)


@pytest.mark.requirement("RSV-2")
@pytest.mark.parametrize("close", [release, lambda account, res: settle(account, res, 0)])
def test_an_extension_that_returns_to_an_earlier_grant_loses_nothing(rules, close):
    rules.run(grant(ACCOUNT, 50))
    first, second = hold(rules, 60), hold(rules, 60)  # the second takes 40 and 20
    rules.run(release(ACCOUNT, first))
    extended = {"res": second, "total": 80, "hold_ms": 60_000, "used_so_far": 0}
    more = command(c.Extend, ACCOUNT, extended, deadline=rules.at)
    assert isinstance(rules.run(more), Accepted)
    assert [no for no, _ in rules.reservations[second].taken] == [1, 2, 1]
    assert isinstance(rules.run(close(ACCOUNT, second)), Accepted)
    assert [(g.no, g.available) for g in rules.accounts[ACCOUNT].grants] == [(1, 100), (2, 50)]
    assert balance(rules) == (150, 0)


@pytest.mark.requirement("RSV-4")
def test_a_late_settlement_charges_no_more_than_expiry_left(rules):
    """A hold that was charged at its deadline is not charged a second time."""
    res = hold(rules, 60, at_deadline="charge")
    known = {"res": res, "total": 60, "hold_ms": 60_000, "used_so_far": 40}
    rules.run(command(c.Extend, ACCOUNT, known, deadline=rules.at))
    rules.after(minutes=5).run(expire(ACCOUNT, res))
    assert balance(rules) == (60, 0)
    late = rules.run(settle(ACCOUNT, res, 70)).events[0].data
    assert (late["charge"], late["extra"], late["loss"]) == ("20", "20", "10")
    assert balance(rules) == (40, 0)


@pytest.mark.requirement("CRD-5")
@pytest.mark.parametrize("end", ["release", "settle", "expire"])
def test_what_comes_back_of_a_grant_that_was_taken_twice_comes_back_whole(rules, end):
    rules.run(grant(ACCOUNT, 50))
    first, second = hold(rules, 60), hold(rules, 60)
    rules.run(release(ACCOUNT, first))  # the older grant has credits again
    given = {"res": second, "total": 100, "hold_ms": 60_000, "used_so_far": 0}
    caller = f"extend:{second}:1"
    extend = command(Extend, ACCOUNT, given, caller_id=caller, deadline=rules.at)
    assert isinstance(rules.run(extend), Accepted)
    taken = [no for no, _ in rules.reservations[second].taken]
    assert taken == [1, 2, 1]
    ending = {
        "release": release(ACCOUNT, second),
        "settle": settle(ACCOUNT, second, 0),
        "expire": expire(ACCOUNT, second),
    }
    assert isinstance(rules.after(minutes=5).run(ending[end]), Accepted)
    assert balance(rules) == (150, 0)
    assert sum(g.available for g in rules.accounts[ACCOUNT].grants) == 150
