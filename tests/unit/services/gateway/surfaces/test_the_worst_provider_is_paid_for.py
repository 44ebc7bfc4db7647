"""Whatever comes is bounded or refused, and a provider that obeys its caps never costs more."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Rates
from services.gateway.errors import Refusal
from services.gateway.surfaces.openai_chat import OpenAIChat
from services.gateway.surfaces.openai_completions import OpenAICompletions
from services.gateway.surfaces.openai_embeddings import OpenAIEmbeddings
from services.gateway.surfaces.openai_images import OpenAIImages
from services.gateway.surfaces.openai_responses import OpenAIResponses
from tests.unit.services.gateway.offering import offer
from tests.unit.services.gateway.surfaces import worst_provider as worst

pytestmark = pytest.mark.requirement("PRC-2")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.lists(st.integers(0, 200_000), max_size=6)
inputs = st.one_of(
    texts, ids.filter(bool), st.lists(texts, min_size=1, max_size=4), st.lists(ids, min_size=1)
)
counts = st.none() | st.integers(1, 5)
caps = st.none() | st.integers(1, 600)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": texts | parts}),
    min_size=1,
    max_size=4,
)
items = st.fixed_dictionaries(
    {"type": st.just("function_call_output"), "call_id": texts, "output": texts}
)
BODIES = {
    "chat": (
        OpenAIChat(),
        worst.of_chat,
        {"messages": messages, "n": counts, "max_tokens": caps, "max_completion_tokens": caps},
    ),
    "completions": (
        OpenAICompletions(),
        worst.of_completions,
        {
            "prompt": inputs,
            "n": counts,
            "best_of": counts,
            "echo": st.none() | st.booleans(),
            "suffix": st.none() | texts,
            "max_tokens": st.none() | st.integers(0, 600),
        },
    ),
    "responses": (
        OpenAIResponses(),
        worst.of_responses,
        {
            "input": texts.filter(bool) | st.lists(items, min_size=1, max_size=3) | messages,
            "instructions": st.none() | texts,
            "max_output_tokens": caps,
        },
    ),
    "embeddings": (OpenAIEmbeddings(), worst.of_embeddings, {"input": inputs}),
}
pico = st.integers(0, 10**8)
rates = st.builds(Rates, pico, pico, pico, pico, pico, pico, pico)


@pytest.mark.parametrize("name", BODIES)
@given(st.data())
def test_a_provider_that_obeys_its_caps_never_costs_more_than_was_held(name: str, data):
    surface, spent, fields = BODIES[name]
    body = orjson.dumps({"model": "swift-1"} | data.draw(st.fixed_dictionaries(fields)))
    parsed = parsed_or_refused(surface, body)
    if isinstance(parsed, Refusal):
        return
    small = data.draw(st.sampled_from([8, 40, 400_000]))
    sold = offer(max_input=small, unit=data.draw(st.sampled_from(["USD", "CREDIT"])))
    [candidate] = sold.candidates
    price = replace(candidate.price, rates=data.draw(rates))
    candidate = replace(candidate, price=price)
    sold = replace(sold, candidates=(candidate,))
    bound = surface.bound(parsed, sold)
    held = data.draw(st.integers(bound.at_least, bound.amount))
    sent = orjson.loads(surface.prepare(parsed, candidate, worst.cap_for(sold, bound, held)))
    usage = worst.dearest(*spent(sent, small), price.rates)
    assert sold.charge(usage, candidate).charge <= held


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
KNOWN = {
    "chat": ["messages", "max_tokens", "n", "tools", "prediction", "modalities", "stream_options"],
    "images": ["prompt", "n", "size", "quality", "output_format", "stream", "partial_images"],
    "completions": ["prompt", "n", "best_of", "echo", "suffix", "max_tokens", "stream_options"],
    "responses": ["input", "instructions", "max_output_tokens", "reasoning", "text", "tools",
                  "background", "include", "stream"],
    "embeddings": ["input", "dimensions", "encoding_format", "service_tier"],
}  # fmt: skip
GOOD = {
    "chat": {"messages": [{"role": "user", "content": "a"}]},
    "completions": {"prompt": "a"},
    "responses": {"input": "a"},
    "embeddings": {"input": "a"},
    "images": {"prompt": "a"},
}
SURFACES = {name: body[0] for name, body in BODIES.items()} | {"images": OpenAIImages()}


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize("name", KNOWN)
@given(st.data())
def test_whatever_comes_is_bounded_or_refused(name: str, data):
    surface = SURFACES[name]
    some = data.draw(st.dictionaries(st.sampled_from([*KNOWN[name], "never_heard_of"]), json))
    for body in (some, {"model": "swift-1"} | GOOD[name] | some):
        parsed = parsed_or_refused(surface, orjson.dumps(body))
        if isinstance(parsed, Refusal):
            assert parsed.status == 400
        else:
            assert body.get("never_heard_of") is None
            bound = surface.bound(parsed, offer())
            assert 0 < bound.at_least <= bound.amount
            surface.prepare(parsed, offer().candidates[0], bound.cap)


def parsed_or_refused(surface, body: bytes):
    try:
        return surface.parse(body)
    except Refusal as refusal:
        return refusal
