"""The charge: monotone, never below cost and margin, rounded once, reproducible from /prices."""

from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage, charge_nanos, cost_pico, margin_nanos, parse, price_lines
from tests.support.catalogue import EXAMPLE

costs = st.integers(0, 10**24)
margins = st.integers(0, 100_000)
units = st.sampled_from([("USD", 1), ("CREDIT", 10**9)])
ratios = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))
tokens = st.integers(0, 10**8)


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


@given(tokens, tokens, tokens, margins)
def test_a_customer_finds_the_charge_from_the_price_lines(plain, cached, output, margin_bps):
    book = parse(EXAMPLE.replace("margin_bps = 1000", f"margin_bps = {margin_bps}"))
    price = book.upstreams["north"].prices["swift-1"]
    charge = charge_nanos(
        cost_pico(price, Usage(plain + cached, cached, output)), margin_bps, "USD"
    )
    (line,) = price_lines(book, book.plans["payg"])
    with localcontext(prec=60):
        total = (
            plain * Decimal(line["input"])
            + cached * Decimal(line["cached_input"])
            + output * Decimal(line["output"])
        ) / line["per_tokens"]
        paid = total.quantize(Decimal(line["step"]), rounding=ROUND_CEILING)
    assert Decimal(charge) / 10**9 == paid
