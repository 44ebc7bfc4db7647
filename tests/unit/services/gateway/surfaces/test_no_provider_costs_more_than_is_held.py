"""The worst provider that keeps its documented limits never costs more than was held (PRC-2).

It makes a token of every byte it gets and as many more as it may add unseen, counts them as
whatever kind is dearest, and always answers up to the cap.
"""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Rates, UpstreamPrice, Usage
from services.gateway.errors import Refusal
from services.gateway.estimate import (
    HIDDEN_TOKENS,
    HIDDEN_TOKENS_WITH_TOOLS,
    affordable_cap,
    cap_within,
)
from services.gateway.surfaces.openai_chat import OpenAIChat
from tests.unit.services.gateway.offering import offer

pytestmark = pytest.mark.requirement("PRC-2")

chat = OpenAIChat()
# All but surrogates, said by category as in test_chat_requests.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
caps = st.none() | st.integers(1, 40_000)
tools = st.none() | st.just([{"type": "function", "function": {"name": "f"}}])
bodies = st.fixed_dictionaries(
    {
        "model": st.just("swift-1"),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": texts}),
            min_size=1,
            max_size=4,
        ),
    },
    optional={
        "max_tokens": caps,
        "max_completion_tokens": caps,
        "n": st.none() | st.integers(1, 4),
        "stream": st.booleans(),
        "tools": tools,
        "response_format": st.just({"type": "json_object"}),
        "user": texts,
        "stop": st.lists(texts, max_size=2),
    },
)
rates = st.builds(Rates, *[st.integers(0, 10**7)] * 8)
prices = st.builds(
    lambda base, above, start, most_in, most_out: UpstreamPrice(
        base, most_in, most_out, tiers=((start, above),)
    ),
    rates,
    rates,
    st.integers(1, 4000),
    st.integers(1, 10_000),
    st.integers(1, 50_000),
)


@st.composite
def offers(draw):
    """One or two routes at any price, with a tier, in money or credits, with a margin or its own."""
    unit = draw(st.sampled_from(["USD", "EUR", "CREDIT"]))
    sold = offer(unit=unit, margin_bps=draw(st.integers(0, 20_000)), default_cap=draw(caps) or 4096)
    candidates = tuple(
        replace(sold.candidates[0], price=price, own=draw(st.none() | prices))
        for price in draw(st.lists(prices, min_size=1, max_size=2))
    )
    # Own prices hold within the limits of the upstream, and for all routes or for none.
    retail = candidates[0].own is not None
    own = candidates[0].own
    candidates = tuple(
        replace(
            candidate,
            own=own
            and replace(
                own, max_input=candidate.price.max_input, max_output=candidate.price.max_output
            ),
        )
        for candidate in candidates
    )
    conversion = draw(st.tuples(st.integers(1, 1000), st.integers(1, 1000)))
    return replace(sold, candidates=candidates, conversion=conversion, retail=retail)


def worst_usage(draw, raw: bytes, sent: bytes, price: UpstreamPrice) -> Usage:
    """What the provider may report at the most, split into kinds as it likes.

    The text is the client's: what we add to it caps the answer and is read by no model.
    """
    body = orjson.loads(sent)
    several = any(body.get(name) for name in ("tools", "response_format"))
    hidden = HIDDEN_TOKENS_WITH_TOOLS if several else HIDDEN_TOKENS
    most = min(len(raw) + hidden, price.max_input)
    cap = max(body.get(name) or 0 for name in ("max_tokens", "max_completion_tokens"))
    assert cap >= 1, "nothing caps this answer"
    output = min(cap, price.max_output) * (body.get("n") or 1)
    tokens = draw(st.integers(0, most) | st.just(most))
    parts = [draw(st.integers(0, tokens)) for _ in range(3)]
    return Usage(tokens, parts[0], output, parts[1], 0, parts[2], draw(st.integers(0, output)))


@given(bodies, offers(), st.data())
def test_of_a_chat_completion(body, sold, data):
    raw = orjson.dumps(body)
    parsed = chat.parse(raw)
    bound = chat.bound(parsed, sold)
    assert 1 <= bound.at_least <= bound.amount
    held = data.draw(st.integers(bound.at_least, bound.amount) | st.just(bound.at_least))
    cap = cap_within(sold, bound, held)
    for candidate in sold.candidates:
        usage = worst_usage(data.draw, raw, chat.prepare(parsed, candidate, cap), candidate.price)
        assert sold.charge(usage, candidate).charge <= held


@given(bodies, offers(), st.integers(0, 10**12))
def test_who_asks_again_with_the_affordable_cap_fits(body, sold, available):
    bound = chat.bound(chat.parse(orjson.dumps(body)), sold)
    cap = affordable_cap(sold, bound, available)
    assert 0 <= cap <= bound.cap
    if cap:
        again = {name: value for name, value in body.items() if not name.startswith("max_")}
        again["max_completion_tokens"] = cap
        asked = chat.bound(chat.parse(orjson.dumps(again)), sold)
        assert asked.cap == cap
        assert asked.amount <= available
    if cap < bound.cap:
        more = min(bound.input_tokens + 48, max(sold.max_input, bound.input_tokens))
        assert sold.most(more, (cap + 1) * bound.choices) > available


def test_a_model_that_gives_no_text_is_not_for_chat():
    """Else its cap would be 0, which providers take for none."""
    parsed = chat.parse(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": ""}]}))
    with pytest.raises(Refusal) as caught:
        chat.bound(parsed, offer(max_output=0))
    assert (caught.value.status, caught.value.param) == (400, "model")


def test_what_no_account_can_hold_is_refused():
    dear = offer(input_pico=10**12, output_pico=10**12, max_input=10**8, max_output=10**8)
    parsed = chat.parse(
        orjson.dumps(
            {"model": "m", "messages": [{"role": "user", "content": ""}], "max_tokens": 10**8}
        )
    )
    assert chat.bound(parsed, dear).amount > 10**17
    with pytest.raises(Refusal) as caught:
        chat.bound(parsed, replace(dear, conversion=(10**9, 1)))
    assert caught.value.status == 400
