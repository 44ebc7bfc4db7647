"""When a recharge is asked for, and how much: one charge, within caps, never without need."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.money import MAX_AMOUNT, minor_to_nanos
from services.recharge.policy import (
    Needed,
    Offer,
    Policy,
    Rearmed,
    Standing,
    Wait,
    decide,
    size,
)

NOW = datetime(2026, 11, 20, 19, 0, tzinfo=UTC)
DIP = timedelta(seconds=30)
USD = 10**9
POLICY = Policy(enabled=True, threshold=5 * USD, basis="available", amount=10 * USD)
LOW = Standing(
    unit="USD",
    plan="payg",
    status="open",
    available=4 * USD,
    reserved=0,
    armed=False,
    policy=POLICY,
)

nanos = st.integers(0, 2**62)
caps = st.none() | st.integers(1, 2**62)
moments = st.integers(-(10**6), 10**6).map(lambda s: NOW + timedelta(seconds=s))
policies = st.builds(
    Policy,
    enabled=st.booleans(),
    threshold=nanos,
    basis=st.sampled_from(["total", "available"]),
    amount=nanos,
    cap_charge=caps,
    cap_day=caps,
    cap_month=caps,
)
standings = st.builds(
    Standing,
    unit=st.just("USD"),
    plan=st.just("payg"),
    status=st.sampled_from(["open", "frozen", "closed"]),
    available=nanos,
    reserved=nanos,
    armed=st.booleans(),
    policy=st.none() | policies,
    open_attempt=st.none() | st.just("rchg_x"),
    next_at=st.none() | moments,
    suspended=st.booleans(),
)


MONEY = Offer(currency="USD", minor=1, gives=10**7)


def ask(standing, *, since=NOW, now=NOW):
    return decide(standing, now=now, below_since=since, dip_wait=DIP)


def with_policy(**changes):
    return replace(LOW, policy=replace(POLICY, **changes))


@pytest.mark.requirement("RCH-2")
def test_a_total_below_the_threshold_is_recharged_at_once():
    assert ask(LOW) == Needed(USD)


@pytest.mark.requirement("RCH-2")
def test_a_dip_by_holds_is_recharged_only_when_it_lasts():
    held = replace(LOW, reserved=3 * USD)
    assert ask(held) == Wait("dip", until=NOW + DIP)
    assert ask(held, now=NOW + DIP - timedelta(microseconds=1)) == Wait("dip", until=NOW + DIP)
    assert ask(held, now=NOW + DIP) == Needed(USD)


def test_by_basis_total_holds_do_not_count():
    standing = replace(with_policy(basis="total"), reserved=3 * USD)
    assert ask(standing, since=NOW - DIP) == Wait("not_needed", below=False)


def test_a_balance_between_threshold_and_arming_is_left_alone():
    assert ask(replace(LOW, available=5 * USD)) == Wait("not_needed", below=False)


def test_an_armed_account_needs_no_watching_whatever_else_is_true():
    assert ask(replace(LOW, armed=True, status="frozen")) == Rearmed()


@pytest.mark.requirement("RCH-3")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy": None}, "disabled"),
        ({"policy": replace(POLICY, enabled=False)}, "disabled"),
        ({"status": "frozen"}, "frozen"),
        ({"status": "closed"}, "closed"),
        ({"open_attempt": "rchg_x"}, "attempt_open"),
        ({"suspended": True}, "suspended"),
    ],
)
def test_nothing_is_asked_while_something_stands_against_it(changes, reason):
    assert ask(replace(LOW, **changes)) == Wait(reason)


@pytest.mark.requirement("RCH-4")
def test_back_off_is_waited_for_to_the_moment():
    later = NOW + timedelta(hours=1)
    standing = replace(LOW, next_at=later)
    assert ask(standing) == Wait("too_early", until=later)
    assert ask(standing, now=later) == Needed(USD)


@pytest.mark.parametrize(
    ("shortfall", "amount"), [(1, 10), (10 * USD, 10), (10 * USD + 1, 20), (30 * USD, 30)]
)
def test_one_charge_of_the_smallest_multiple_that_covers_the_shortfall(shortfall, amount):
    assert size(shortfall, 10 * USD, MONEY, POLICY) == amount * USD


@pytest.mark.requirement("RCH-4")
@pytest.mark.parametrize("cap", ["cap_charge", "cap_day", "cap_month"])
def test_a_cap_bounds_the_charge_to_whole_multiples(cap):
    assert size(95 * USD, 10 * USD, MONEY, replace(POLICY, **{cap: 39 * USD})) == 30 * USD
    assert size(95 * USD, 10 * USD, MONEY, replace(POLICY, **{cap: 9 * USD})) == 0


@pytest.mark.requirement("RCH-4")
def test_caps_of_credit_accounts_are_in_the_currency_charged():
    pack = Offer(currency="USD", minor=800, gives=500 * USD)
    policy = replace(POLICY, cap_charge=20 * USD)
    assert size(5000 * USD, 500 * USD, pack, policy) == 1000 * USD


def test_what_a_cap_leaves_for_today_bounds_the_charge():
    assert size(95 * USD, 10 * USD, MONEY, POLICY, room=25 * USD) == 20 * USD
    assert size(95 * USD, 10 * USD, MONEY, POLICY, room=0) == 0
    assert size(95 * USD, 10 * USD, MONEY, POLICY, room=-5 * USD) == 0


def test_without_an_amount_nothing_is_bought():
    assert size(USD, 0, MONEY, POLICY) == 0


@given(standings, moments)
def test_never_due_without_need_and_right(standing, since):
    decision = ask(standing, since=since)
    if not isinstance(decision, Needed):
        return
    policy = standing.policy
    value = standing.available if policy.basis == "available" else standing.total
    assert policy.enabled
    assert not standing.armed
    assert standing.status == "open"
    assert standing.open_attempt is None
    assert not standing.suspended
    assert decision.shortfall == policy.threshold - value > 0


offers = st.builds(
    Offer,
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
    minor=st.integers(1, 10**9),
    gives=st.integers(1, 10**15),
)


@given(st.integers(1, 2**62), st.integers(1, 2**62), offers, policies, caps)
def test_the_charge_is_within_every_cap_and_no_larger_than_needed(
    shortfall, multiple, offer, policy, room
):
    amount = size(shortfall, multiple, offer, policy, room)
    assert amount % multiple == 0
    assert amount - multiple < shortfall
    price = minor_to_nanos(offer.price_of(amount), offer.currency)
    limits = (policy.cap_charge, policy.cap_day, policy.cap_month, room)
    limits = [limit for limit in limits if limit is not None]
    assert all(price <= limit for limit in limits)
    if amount < shortfall and amount + multiple <= MAX_AMOUNT:
        dearer = minor_to_nanos(offer.price_of(amount + multiple), offer.currency)
        assert any(dearer > limit for limit in limits)


def test_credits_are_priced_by_the_pack_and_never_below_it():
    offer = Offer(currency="USD", minor=800, gives=500 * USD)
    assert offer.price_of(500 * USD) == 800
    assert offer.price_of(1000 * USD) == 1600
    assert offer.price_of(USD) == 2
    assert Offer(currency="USD", minor=1, gives=10**7).price_of(10 * USD) == 1000


@given(st.integers(1, 10**9), st.integers(1, 10**15), st.integers(1, 10**18))
def test_a_price_is_less_than_one_minor_unit_above_the_exact_one(minor, gives, credits):
    asked = Offer(currency="USD", minor=minor, gives=gives).price_of(credits)
    assert 0 <= asked * gives - credits * minor < gives
