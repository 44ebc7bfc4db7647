"""The bound is never exceeded by usage that keeps the caps, and never more than that (PRC-2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage
from services.gateway.estimate import cap_within, estimated_usage, text_bound
from tests.unit.services.gateway.offering import offer

pytestmark = pytest.mark.requirement("PRC-2")

prices = st.builds(
    dict,
    input_pico=st.integers(0, 10**8),
    cached_input_pico=st.integers(0, 10**8),
    output_pico=st.integers(0, 10**9),
)


def test_the_worked_example_of_the_book():
    dear = offer(input_pico=300_000, output_pico=2_400_000, max_input=200_000)
    bound = text_bound(dear, size=900, tools=False, asked=None, choices=1)
    assert bound.amount == 11_448_360
    assert bound.cap == 4096
    assert bound.at_least == text_bound(dear, size=900, tools=False, asked=256, choices=1).amount


def test_the_clients_own_cap_leaves_nothing_to_choose():
    bound = text_bound(offer(), size=900, tools=False, asked=100, choices=1)
    assert bound.amount == bound.at_least
    assert bound.cap == 100


def test_hidden_text_of_tools_is_counted():
    plain = text_bound(offer(), size=900, tools=False, asked=1, choices=1)
    tools = text_bound(offer(), size=900, tools=True, asked=1, choices=1)
    assert (plain.input_tokens, tools.input_tokens) == (900 + 1024, 900 + 2048)


def test_the_models_own_limits_cap_the_bound():
    bound = text_bound(offer(), size=10**7, tools=False, asked=10**6, choices=1)
    assert (bound.input_tokens, bound.cap) == (400_000, 32_000)
    small = offer(default_cap=64_000, max_output=100)
    bound = text_bound(small, size=1, tools=False, asked=None, choices=1)
    assert bound.cap == 100
    assert bound.amount == bound.at_least


@given(
    prices,
    st.sampled_from(["USD", "CREDIT"]),
    st.integers(0, 5000),
    st.none() | st.integers(1, 40_000),
    st.integers(1, 5),
    st.data(),
)
def test_usage_within_the_caps_never_costs_more(price, unit, size, asked, choices, data):
    sold = offer(unit=unit, **price)
    bound = text_bound(sold, size=size, tools=False, asked=asked, choices=choices)
    assert 1 <= bound.at_least <= bound.amount
    held = data.draw(st.integers(bound.at_least, bound.amount))
    cap = cap_within(sold, bound, held)
    assert 1 <= cap <= bound.cap
    used = data.draw(st.integers(0, size))
    cached = data.draw(st.integers(0, used))
    output = data.draw(st.integers(0, cap * choices))
    assert sold.charge(Usage(used, cached, output), sold.candidates[0]).charge <= held


@given(prices, st.integers(0, 5000), st.integers(1, 4), st.data())
def test_the_cap_is_the_largest_that_is_covered(price, size, choices, data):
    sold = offer(**price)
    bound = text_bound(sold, size=size, tools=False, asked=None, choices=choices)
    held = data.draw(st.integers(bound.at_least, bound.amount))
    cap = cap_within(sold, bound, held)
    assert cap >= 256
    if cap < bound.cap:
        more = text_bound(sold, size=size, tools=False, asked=cap + 1, choices=choices)
        assert more.amount > held


def test_a_free_model_still_holds_something():
    free = offer(input_pico=0, cached_input_pico=0, output_pico=0)
    assert text_bound(free, size=1, tools=False, asked=1, choices=1).amount == 1
    credits = offer(unit="CREDIT", input_pico=0, cached_input_pico=0, output_pico=0)
    assert text_bound(credits, size=1, tools=False, asked=1, choices=1).amount == 10**9


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 4096))
def test_the_estimate_stays_within_what_is_held(sent: int, delivered: int, cap: int):
    bound = text_bound(offer(), size=900, tools=False, asked=4096, choices=2)
    usage = estimated_usage(bound, cap=cap, sent=sent, delivered=delivered)
    assert usage.input_tokens <= bound.input_tokens
    assert usage.output_tokens <= cap * 2


def test_the_estimate_is_a_token_for_four_bytes_and_ten_per_cent_more_output():
    bound = text_bound(offer(), size=900, tools=False, asked=4096, choices=1)
    usage = estimated_usage(bound, cap=4096, sent=901, delivered=400)
    assert usage == Usage(226, 0, 110)
