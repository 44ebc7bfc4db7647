"""Each kind of token costs its own rate, tiers hold for all tokens, and the bound covers both."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Rates, UpstreamPrice, Usage, cost_pico, most_pico

RATES = Rates(
    input=100,
    output=1000,
    cached_input=10,
    cache_write=125,
    cache_write_1h=200,
    image_input=150,
    image_output=4000,
    image=7,
)
DEAR = Rates(*(2 * getattr(RATES, field.name) for field in fields(RATES)))
PRICE = UpstreamPrice(RATES, 10**6, 10**6)
TIERED = UpstreamPrice(RATES, 10**6, 10**6, tiers=((1000, DEAR),))

rates = st.builds(Rates, *[st.integers(0, 10**6)] * len(fields(Rates)))
counts = st.integers(0, 5000)
usages = st.builds(Usage, *[counts] * 8)


def test_each_kind_at_its_own_rate():
    usage = Usage(
        input_tokens=100,
        cached_tokens=10,
        output_tokens=50,
        cache_write_tokens=20,
        cache_write_1h_tokens=30,
        image_input_tokens=5,
        image_output_tokens=40,
        images=3,
    )
    kinds = 10 * 10 + 20 * 125 + 30 * 200 + 5 * 150 + 35 * 100
    assert cost_pico(PRICE, usage) == kinds + 10 * 1000 + 40 * 4000 + 3 * 7


def test_a_tier_holds_for_all_tokens_above_its_start():
    at, above = Usage(1000, 0, 1), Usage(1001, 0, 1)
    assert cost_pico(TIERED, at) == 1000 * 100 + 1000
    assert cost_pico(TIERED, above) == 2 * (1001 * 100 + 1000)


@pytest.mark.requirement("PRC-2")
@given(rates, rates, st.integers(0, 5000), usages)
def test_no_mixture_of_kinds_costs_more_than_the_most(low, high, start, usage):
    price = UpstreamPrice(low, 10**6, 10**6, tiers=((start, high),))
    most = most_pico(
        price, usage.input_tokens, usage.output_tokens, images=usage.images, hour_cache=True
    )
    assert cost_pico(price, usage) <= most


def test_the_hour_cache_counts_only_where_it_may_be_used():
    assert most_pico(PRICE, 10, 0) == 10 * 150
    assert most_pico(PRICE, 10, 0, hour_cache=True) == 10 * 200


def test_the_record_names_what_there_was():
    assert Usage(1, 0, 2).counts() == {"input_tokens": 1, "cached_tokens": 0, "output_tokens": 2}
    assert Usage(1, 0, 2, images=3).counts()["images"] == 3
