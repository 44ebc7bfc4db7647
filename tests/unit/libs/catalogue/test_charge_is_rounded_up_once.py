"""The charge: monotone, never below cost and margin, rounded once."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import charge_nanos, margin_nanos

costs = st.integers(0, 10**24)
margins = st.integers(0, 100_000)
units = st.sampled_from([("USD", 1), ("CREDIT", 10**9)])
ratios = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))


def exact(cost: int, margin_bps: int, ratio: tuple[int, int]) -> Fraction:
    """Nanos of cost x (1 + margin) x ratio, not rounded."""
    return Fraction(cost, 1000) * Fraction(10_000 + margin_bps, 10_000) * Fraction(*ratio)


@pytest.mark.requirement("PRC-1")
@given(costs, margins, units, ratios)
def test_never_below_cost_and_margin_and_less_than_one_step_above(cost, margin_bps, unit, ratio):
    name, step = unit
    charge = charge_nanos(cost, margin_bps, name, ratio)
    assert charge % step == 0
    assert 0 <= charge - exact(cost, margin_bps, ratio) < step


@given(costs, costs, margins, margins, units, ratios)
def test_monotone_in_cost_and_margin(cost, more, margin_bps, higher, unit, ratio):
    low, high = sorted((cost, more))
    small, large = sorted((margin_bps, higher))
    name, _ = unit
    assert charge_nanos(low, small, name, ratio) <= charge_nanos(high, large, name, ratio)


@given(costs, margins)
def test_charges_of_parts_cover_the_charge_of_the_whole(cost, margin_bps):
    half = cost // 2
    parts = charge_nanos(half, margin_bps, "USD") + charge_nanos(cost - half, margin_bps, "USD")
    assert charge_nanos(cost, margin_bps, "USD") <= parts


@given(costs, margins, units, ratios)
def test_margin_and_converted_cost_are_the_charge(cost, margin_bps, unit, ratio):
    charge = charge_nanos(cost, margin_bps, unit[0], ratio)
    converted = charge - margin_nanos(charge, cost, ratio)
    assert 0 <= converted - exact(cost, 0, ratio) < 1
    assert margin_nanos(charge, cost, ratio) >= 0
