"""The worked numbers of the catalogue's contract come out exactly."""

import pytest

from libs.catalogue import Usage, charge_nanos, cost_pico, margin_nanos, parse, price_lines
from tests.support.catalogue import EXAMPLE

BOOK = parse(EXAMPLE)
NORTH = BOOK.upstreams["north"].prices["swift-1"]
SOUTH = BOOK.upstreams["south"].prices["swift-1-b"]


@pytest.mark.requirement("PRC-1")
def test_705_million_pico_at_ten_percent_are_775_500_nanos():
    assert charge_nanos(705_000_000, 1000, "USD") == 775_500
    assert margin_nanos(775_500, 705_000_000) == 70_500


@pytest.mark.requirement("PRC-1")
def test_swift_1_with_1200_in_and_350_out_costs_a_milli_dollar():
    cost = cost_pico(NORTH, Usage(1200, 0, 350))
    assert cost == 1_000_000_000
    assert charge_nanos(cost, 1000, "USD") == 1_100_000


def test_the_same_cost_in_euros_is_converted_inside_the_one_rounding():
    assert charge_nanos(1_000_000_000, 1000, "EUR", (23, 25)) == 1_012_000
    assert margin_nanos(1_012_000, 1_000_000_000, (23, 25)) == 92_000


def test_bound_of_a_900_byte_body_with_the_default_cap_on_the_dearest_route():
    usage = Usage(900 + 1024, 0, BOOK.models["swift-1"].default_max_output)
    bounds = [charge_nanos(cost_pico(price, usage), 1000, "USD") for price in (NORTH, SOUTH)]
    assert max(bounds) == 11_448_360


def test_cached_tokens_are_charged_at_their_own_price():
    assert cost_pico(NORTH, Usage(1000, 400, 0)) == 600 * 250_000 + 400 * 25_000


def test_a_price_without_cached_input_charges_cached_tokens_as_input():
    assert cost_pico(SOUTH, Usage(1000, 400, 0)) == 1000 * 300_000


def test_more_cached_than_input_tokens_count_as_all_cached():
    assert cost_pico(NORTH, Usage(10, 400, 0)) == 10 * 25_000


def test_negative_token_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        Usage(-1, 0, 0)
    with pytest.raises(ValueError, match="negative"):
        charge_nanos(-1, 1000, "USD")


@pytest.mark.requirement("PRC-9")
def test_a_computed_credit_charge_rounds_up_to_a_whole_credit_once():
    assert charge_nanos(1, 0, "CREDIT") == 10**9
    assert charge_nanos(10**12, 0, "CREDIT") == 10**9
    assert charge_nanos(10**12 + 1, 0, "CREDIT") == 2 * 10**9


def test_packs_are_exact_in_nanos_and_minor_units():
    pack = BOOK.packs["credits-500"]
    assert (pack.gives, pack.price) == (500 * 10**9, {"USD": 800, "EUR": 750})
    assert BOOK.packs["usd-10"].gives == 10 * 10**9


@pytest.mark.requirement("PRC-9")
def test_price_lines_show_every_sold_item_in_the_plans_unit():
    (model,) = price_lines(BOOK, BOOK.plans["payg"])
    assert (model["name"], model["kind"], model["unit"]) == ("swift-1", "model", "USD")
    assert (model["input"], model["cached_input"], model["output"]) == ("0.275", "0.0275", "2.20")
    (operation,) = price_lines(BOOK, BOOK.plans["studio"])
    assert (operation["name"], operation["price"], operation["unit"]) == (
        "score-image",
        "1",
        "CREDIT",
    )
