"""What goes up is what was bounded: no more, no other."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.errors import Refusal
from services.gateway.surfaces.chat_fields import HARMLESS
from services.gateway.surfaces.openai_chat import OpenAIChat
from services.gateway.surfaces.openai_embeddings import OpenAIEmbeddings
from services.gateway.surfaces.openai_responses import OpenAIResponses
from tests.unit.services.gateway.offering import offer

chat = OpenAIChat()
HELLO = [{"role": "user", "content": "Hello"}]


def raw(**fields) -> bytes:
    return orjson.dumps({"model": "swift-1", "messages": HELLO} | fields)


def known_as(model: str):
    return replace(offer().candidates[0], upstream_model=model)


def sent(parsed, model: str = "swift-1", cap: int = 4096) -> dict:
    return orjson.loads(chat.prepare(parsed, known_as(model), cap))


def test_a_request_with_a_cap_goes_up_unchanged():
    body = raw(max_tokens=5, temperature=0.1)
    assert chat.prepare(chat.parse(body), known_as("swift-1"), 5) == body


def test_without_a_cap_the_reserved_one_is_injected():
    assert sent(chat.parse(raw()), cap=300)["max_completion_tokens"] == 300
    assert sent(chat.parse(raw(max_tokens=None)), cap=300)["max_completion_tokens"] == 300


def test_of_two_caps_the_larger_is_the_bound():
    parsed = chat.parse(raw(max_tokens=5, max_completion_tokens=70))
    assert parsed.asked == 70
    assert chat.bound(parsed, offer()).cap == 70


def test_a_cap_above_the_model_is_brought_down():
    parsed = chat.parse(raw(max_tokens=10**6, max_completion_tokens=7))
    cap = chat.bound(parsed, offer()).cap
    body = sent(parsed, cap=cap)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (32_000, 7)


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("tier", "given", "sent"),
    [("project", {}, None), ("standard", {}, "default"), ("standard", {"service_tier": None}, "default"),
     ("standard", {"service_tier": "default"}, "default")],
)  # fmt: skip
def test_a_request_without_a_tier_gets_the_one_that_has_our_price(tier, given, sent):
    upstream = replace(offer().candidates[0].upstream, tier=tier)
    candidate = replace(known_as("swift-1"), upstream=upstream)

    def tier_of(surface, body: dict) -> str | None:
        parsed = surface.parse(orjson.dumps({"model": "swift-1"} | body))
        return orjson.loads(surface.prepare(parsed, candidate, 9)).get("service_tier")

    assert tier_of(chat, {"messages": HELLO} | given) == sent
    assert tier_of(OpenAIResponses(), {"input": "Hello"} | given) == sent
    assert tier_of(OpenAIEmbeddings(), {"input": "Hello"}) is None, "it knows no tiers"


@pytest.mark.requirement("PRC-2")
@pytest.mark.parametrize(
    ("given", "older"),
    [({}, 300), ({"max_completion_tokens": 70}, 70), ({"max_tokens": 70}, 70),
     ({"max_tokens": 5, "max_completion_tokens": 70}, 5),
     ({"max_tokens": 10**6, "max_completion_tokens": None}, 32_000)],
)  # fmt: skip
def test_an_upstream_that_does_not_know_the_newer_cap_is_capped_by_the_older(given, older):
    parsed = chat.parse(raw(**given))
    upstream = replace(offer().candidates[0].upstream, cap_field="max_tokens")
    candidate = replace(known_as("swift-1"), upstream=upstream)
    cap = min(chat.bound(parsed, offer()).cap, 300 if not given else 10**6)
    body = orjson.loads(chat.prepare(parsed, candidate, cap))
    assert body == {"model": "swift-1", "messages": HELLO, "max_tokens": older}


def test_the_upstreams_name_of_the_model_is_used():
    assert sent(chat.parse(raw(max_tokens=1)), model="swift-1-b", cap=1)["model"] == "swift-1-b"


def test_usage_is_asked_for_only_in_streams_and_the_clients_options_are_kept():
    assert "stream_options" not in sent(chat.parse(raw()))
    parsed = chat.parse(raw(stream=True, stream_options={"include_obfuscation": False}))
    assert sent(parsed)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    parsed = chat.parse(raw(stream=True, stream_options={"include_usage": False}))
    assert sent(parsed)["stream_options"] == {"include_usage": True}


def test_choices_multiply_the_output():
    one = chat.bound(chat.parse(raw(max_tokens=100)), offer(input_pico=0))
    three = chat.bound(
        chat.parse(raw(max_tokens=100, n=3)), offer(input_pico=0, cached_input_pico=0)
    )
    output = 100 * 2_000_000 * 11 // 10_000
    assert three.amount == 3 * output
    assert one.cap == three.cap == 100


def test_the_bound_counts_the_longer_of_what_came_and_what_goes():
    spread = b'{"model": "swift-1",   "messages": [{"role": "user", "content": "Hello"}]}'
    assert chat.parse(spread).size == len(spread)
    grown = raw()[:-1] + b', "logit_bias": {"1": ' + b"1e15" + b"}}"
    parsed = chat.parse(grown)
    assert parsed.size == len(parsed.compact) > len(grown)


@pytest.mark.requirement("PRC-2")
def test_a_text_that_a_tokenizer_may_lengthen_counts_at_its_longest():
    # An upstream of this shape may bring a text into NFKC first: three bytes become 33.
    said = {"role": "user", "content": "\ufdfa" * 100}
    assert chat.parse(raw(messages=[said])).size >= 3300
    predicted = chat.parse(raw(prediction={"type": "content", "content": "\ufdfa" * 100}, n=2))
    assert predicted.beside >= 2 * 3300


def test_tools_schemas_and_functions_may_add_hidden_text():
    for field in ("tools", "functions", "response_format"):
        value = {"type": "json_object"} if field == "response_format" else [{"type": "function"}]
        assert chat.parse(raw(**{field: value})).tools
    assert not chat.parse(raw(tools=[])).tools


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)


@pytest.mark.requirement("PRC-7")
@given(names.filter(lambda name: name not in HARMLESS), st.just({"x": 1}))
def test_no_unknown_field_passes(name: str, value: object):
    with pytest.raises(Refusal) as caught:
        chat.parse(raw(**{name: value}))
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param.startswith(name)


# All but surrogates, said by category: text() says it by codec, for which hypothesis in a fresh
# clone tries every character there is, for seconds.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(
    ["model", "messages", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options",
     "tools", "functions", "modalities", "service_tier", "response_format"]), json))  # fmt: skip
def test_whatever_comes_is_bounded_or_refused(fields: dict):
    for body in (orjson.dumps(fields), raw(**fields)):
        parsed = parsed_or_refused(body)
        if isinstance(parsed, Refusal):
            assert parsed.status == 400
        else:
            bound = chat.bound(parsed, offer())
            assert orjson.loads(chat.prepare(parsed, known_as("m"), bound.cap))["model"] == "m"


def parsed_or_refused(body: bytes):
    try:
        return chat.parse(body)
    except Refusal as refusal:
        return refusal
