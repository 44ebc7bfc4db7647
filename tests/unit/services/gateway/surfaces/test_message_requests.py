"""What goes up to an Anthropic-shaped upstream is what was bounded: no more, no other."""

import base64
import struct
import unicodedata
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Rates, Usage
from services.gateway.errors import Refusal
from services.gateway.surfaces.anthropic_fields import HARMLESS
from services.gateway.surfaces.anthropic_headers import SOLD_BETAS
from services.gateway.surfaces.anthropic_messages import AnthropicMessages
from tests.unit.services.gateway.offering import offer

surface = AnthropicMessages()
HELLO = [{"role": "user", "content": "Hello"}]
CACHE = {"type": "ephemeral"}
RATES = Rates(
    input=3_000_000,
    output=15_000_000,
    cached_input=300_000,
    cache_write=3_750_000,
    cache_write_1h=6_000_000,
    image_input=3_000_000,
    image_output=15_000_000,
)


def sold(**price):
    """An offer with Anthropic's kinds of prices."""
    one = offer()
    known = {"rates": RATES, "image_tokens_rule": "area", "image_tokens_max": 4784}
    candidate = replace(one.candidates[0], price=replace(one.candidates[0].price, **known | price))
    return replace(one, candidates=(candidate,))


def raw(**fields) -> bytes:
    return orjson.dumps({"model": "swift-1", "max_tokens": 100, "messages": HELLO} | fields)


def said(*blocks) -> bytes:
    return raw(messages=[{"role": "user", "content": list(blocks)}])


def known_as(model: str):
    return replace(sold().candidates[0], upstream_model=model)


def refused(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        surface.parse(body)
    assert caught.value.status == 400
    return caught.value


def png(width: int, height: int, data: bytes = b"") -> str:
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return base64.b64encode(header + data).decode()


def jpeg(width: int, height: int) -> str:
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xc0\x00\x00"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHH", 11, 8, height, width)
    return base64.b64encode(b"\xff\xd8" + comment + frame + b"\x00" * 9).decode()


def image(data: str, media_type: str = "image/png", **more) -> dict:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source} | more


def test_a_request_goes_up_unchanged():
    body = raw(temperature=0.1, system="Be brief", thinking={"type": "adaptive"})
    assert surface.prepare(surface.parse(body), known_as("swift-1"), 100) == body


def test_the_cap_is_the_clients_and_never_above_the_model():
    parsed = surface.parse(raw(max_tokens=10**6))
    cap = surface.bound(parsed, sold()).cap
    assert cap == 32_000
    sent = orjson.loads(surface.prepare(parsed, known_as("m"), cap))
    assert (sent["model"], sent["max_tokens"]) == ("m", 32_000)
    assert sent["messages"] == HELLO


@pytest.mark.requirement("PRC-7")
def test_a_request_without_a_tier_gets_the_one_that_has_our_price():
    candidate = known_as("swift-1")
    candidate = replace(candidate, upstream=replace(candidate.upstream, tier="standard"))
    sent = orjson.loads(surface.prepare(surface.parse(raw()), candidate, 100))
    assert sent == orjson.loads(raw()) | {"service_tier": "standard_only"}
    body = raw(service_tier="standard_only")
    assert surface.prepare(surface.parse(body), candidate, 100) == body


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, "9", True])
def test_a_request_without_a_cap_is_refused(value: object):
    assert refused(raw(max_tokens=value)).param == "max_tokens"


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"service_tier": "auto"}, "service_tier"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"context_management": {}}, "context_management"),
        ({"fallbacks": []}, "fallbacks"),
        ({"diagnostics": {}}, "diagnostics"),
        ({"workspace_id": "w"}, "workspace_id"),
        ({"tools": [{"name": "f"}, {"type": "web_search_20250305"}]}, "tools[1].type"),
        ({"tools": [{"type": "code_execution_20250825"}]}, "tools[0].type"),
        ({"tools": [{"name": "f", "allowed_callers": ["code_execution_20250825"]}]},
         "tools[0].allowed_callers"),
        ({"tools": [{"name": "f", "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"name": "f", "max_uses": 3}]}, "tools[0].max_uses"),
        ({"tools": [{"name": "f", "cache_control": CACHE | {"ttl": "24h"}}]},
         "tools[0].cache_control.ttl"),
        ({"output_config": {"task_budget": 5}}, "output_config.task_budget"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 50, "x": 1}}, "thinking.x"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"cache_control": {"type": "lasting"}}, "cache_control.type"),
        ({"messages": [{"role": "user", "content": "a", "clear_at": 1}]}, "messages[0].clear_at"),
    ],
)  # fmt: skip
def test_what_escapes_the_bound_is_refused_by_its_name(fields: dict, param: str):
    found = refused(raw(**fields))
    assert (found.code, found.param) == ("unsupported_parameter", param)


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "document", "source": {"type": "text", "data": "a"}}, ".type"),
        ({"type": "server_tool_use"}, ".type"),
        ({"type": "container_upload"}, ".type"),
        ({"type": "image", "source": {"type": "url", "url": "u"}}, ".source.type"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ".source.type"),
        (image("AAAA", "image/tiff"), ".source.media_type"),
        (image("AAAA", transformations={}), ".transformations"),
        ({"type": "text", "text": "a", "never_heard_of": 1}, ".never_heard_of"),
        ({"type": "tool_result", "content": [{"type": "document"}]}, ".content[0].type"),
        ({"type": "tool_use", "caller": {"type": "code_execution_20250825"}}, ".caller"),
        ({"type": "search_result", "content": [{"type": "image"}]}, ".content[0].type"),
        ({"type": ["text"]}, ".type"),
        ({}, ".type"),
    ],
)
def test_a_block_that_escapes_the_bound_is_refused_by_its_name(block: dict, param: str):
    assert refused(said(block)).param == "messages[0].content[0]" + param


@pytest.mark.parametrize(
    "fields",
    [{"messages": []}, {"messages": "a"}, {"messages": ["a"]}, {"messages": [{"content": "a"}]},
     {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": [1]}]},
     {"tools": {}}, {"tools": [1]}, {"system": 5}, {"stream": "yes"}, {"metadata": []},
     {"cache_control": "5m"}, {"thinking": True}, {"model": ""},
     {"thinking": {"type": "enabled", "budget_tokens": 100}},
     {"thinking": {"type": "enabled", "budget_tokens": "1"}}],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_with_its_name(fields: dict):
    [name] = fields
    assert refused(raw(**fields)).param.startswith(name)


def test_what_agents_send_passes():
    blocks = [
        {"type": "text", "text": "a", "cache_control": CACHE | {"ttl": "5m"}, "citations": None},
        {"type": "thinking", "thinking": "a", "signature": "b"},
        {"type": "redacted_thinking", "data": "b"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1},
         "caller": {"type": "direct"}},
        {"type": "tool_result", "tool_use_id": "t", "is_error": False,
         "content": [{"type": "text", "text": "b"}, image(png(10, 10))]},
        {"type": "search_result", "source": "s", "title": "t",
         "content": [{"type": "text", "text": "b"}], "citations": {"enabled": True}},
    ]  # fmt: skip
    tools = [
        {"name": "f", "input_schema": {"type": "object"}, "allowed_callers": ["direct"]},
        {"type": "custom", "name": "g", "input_schema": {}, "strict": True},
        {"type": "bash_20250124", "name": "bash"},
    ]
    body = orjson.loads(said(*blocks)) | {
        "tools": tools,
        "system": [{"type": "text", "text": "s", "cache_control": CACHE}],
        "service_tier": "standard_only",
        "speed": "standard",
        "inference_geo": None,
        "metadata": {"user_id": "u"},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low"},
        "stop_sequences": ["x"],
    }
    parsed = surface.parse(orjson.dumps(body))
    assert (parsed.images, parsed.hour_cache, parsed.tools) == (((10, 10),), False, True)


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)


@pytest.mark.requirement("PRC-7")
@given(names.filter(lambda name: name not in HARMLESS), st.just({"x": 1}))
def test_no_unknown_field_passes(name: str, value: object):
    assert refused(raw(**{name: value})).param.startswith(name)


@pytest.mark.requirement("PRC-2")
class TestBound:
    def test_a_character_that_grows_in_normal_form_counts_what_it_grows_to(self):
        plain = surface.parse(said({"type": "text", "text": "a" * 100}))
        grown = surface.parse(said({"type": "text", "text": "\ufdfa" * 100}))
        assert grown.size == plain.size - 100 + 3300

    def test_an_escape_counts_as_the_character_that_it_is(self):
        body = raw().replace(b"Hello", b"\\ufdfa" * 50)
        assert body.isascii()
        assert surface.parse(body).size >= len(body) - 300 + 50 * 33

    def test_only_an_hour_of_cache_costs_what_that_costs(self):
        minutes = surface.parse(raw(cache_control=CACHE))
        blocks = [{"type": "text", "text": "s", "cache_control": CACHE | {"ttl": "1h"}}]
        hour = surface.parse(raw(system=blocks))
        assert (minutes.hour_cache, hour.hour_cache) == (False, True)
        tokens = surface.bound(hour, sold()).input_tokens
        charge = sold().charge(
            Usage(tokens, 0, 100, cache_write_1h_tokens=tokens), sold().candidates[0]
        )
        assert surface.bound(hour, sold()).amount == charge.charge
        cheaper = sold().charge(
            Usage(tokens, 0, 100, cache_write_tokens=tokens), sold().candidates[0]
        )
        assert surface.bound(replace(hour, hour_cache=False), sold()).amount == cheaper.charge

    def test_the_hidden_text_of_tools_is_counted(self):
        def tokens(**fields):
            body = raw(**fields)
            return surface.bound(surface.parse(body), sold()).input_tokens - len(body)

        assert tokens() == 1024
        assert tokens(tools=[{"name": "f"}]) == 2048
        assert tokens(output_config={"format": {"type": "json_schema"}}) == 2048
        assert tokens(tools=[{"type": "bash_20250124", "name": "bash"}]) == 2048 + 1024

    @pytest.mark.parametrize(
        ("data", "tokens"),
        [
            (png(750, 10), 10),
            (png(1, 1, b"\x00" * 90_000), 1),
            (png(4000, 3000), 4784),
            (jpeg(300, 250), 100),
            (png(0, 5), 4784),
            ("", 4784),
            ("!!!!", 4784),
            (base64.b64encode(b"GIF89a\x01\x00\x01\x00").decode(), 4784),
            (base64.b64encode(b"\xff\xd8\xff\xfe\xff\xff").decode(), 4784),
        ],
    )
    def test_an_image_counts_by_its_size_and_not_by_its_bytes(self, data: str, tokens: int):
        body = said(image(data))
        bound = surface.bound(surface.parse(body), sold())
        assert bound.input_tokens == len(body) - len(data) + tokens + 1024

    def test_what_is_no_base64_counts_as_the_text_that_it_is(self):
        parsed = surface.parse(said(image("\ufdfa" * 100)))
        assert parsed.size > 3300

    def test_a_model_without_images_is_sold_without_them(self):
        parsed = surface.parse(said(image(png(1, 1))))
        with pytest.raises(Refusal) as caught:
            surface.bound(parsed, sold(image_tokens_max=None))
        assert caught.value.code == "unsupported_parameter"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda w, h: image(png(w, h)), st.integers(1, 5000), st.integers(1, 5000)),
    st.builds(lambda ttl: {"type": "text", "text": "a", "cache_control": CACHE | {"ttl": ttl}},
              st.sampled_from(["5m", "1h"])),
    st.builds(lambda text: {"type": "tool_result", "tool_use_id": "t", "content": text}, texts),
)  # fmt: skip


@pytest.mark.requirement("PRC-2")
@given(st.lists(blocks, min_size=1, max_size=4), st.integers(1, 40_000), st.data())
def test_the_worst_provider_never_costs_more_than_is_held(content, cap, data):
    """Every byte of text a token after NFKC, every image its most, all written to a cache."""
    body = orjson.loads(said(*content)) | {"max_tokens": cap}
    parsed = surface.parse(orjson.dumps(body))
    bound = surface.bound(parsed, sold())
    tokens = 1024
    for block in content:
        if block["type"] == "image":
            width, height = parsed.images[0]
            parsed = replace(parsed, images=parsed.images[1:])
            tokens += min(4784, -(-width * height // 750))
        else:
            text = block.get("text", block.get("content"))
            tokens += len(unicodedata.normalize("NFKC", text).encode()) + 5
    tokens = min(tokens, 400_000)
    written = data.draw(st.integers(0, tokens))
    kind = "cache_write_1h_tokens" if parsed.hour_cache else "cache_write_tokens"
    usage = Usage(tokens, 0, min(cap, bound.cap), **{kind: written})
    assert sold().charge(usage, sold().candidates[0]).charge <= bound.amount == bound.at_least


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(
    ["model", "messages", "max_tokens", "stream", "system", "tools", "thinking", "cache_control",
     "metadata", "tool_choice", "output_config", "service_tier"]), json))  # fmt: skip
def test_whatever_comes_is_bounded_or_refused(fields: dict):
    for body in (orjson.dumps(fields), raw(**fields)):
        found = bounded_or_refused(body)
        if isinstance(found, Refusal):
            assert found.status == 400
        else:
            parsed, bound = found
            sent = orjson.loads(surface.prepare(parsed, known_as("m"), bound.cap))
            assert (sent["model"], sent["max_tokens"] <= bound.cap) == ("m", True)


def bounded_or_refused(body: bytes):
    try:
        parsed = surface.parse(body)
        return parsed, surface.bound(parsed, sold())
    except Refusal as refusal:
        return refusal


@pytest.mark.requirement("PRC-7")
def test_only_betas_that_cost_nothing_more_pass():
    sold = ", ".join(SOLD_BETAS)
    assert surface.forwards([(b"cookie", b"c")]) == {}
    assert surface.forwards([(b"anthropic-beta", sold.encode())]) == {"anthropic-beta": sold}
    for beta in ("context-1m-2025-08-07", "fast-mode-2026-02-01", "never-heard-of"):
        with pytest.raises(Refusal) as caught:
            surface.forwards([(b"anthropic-beta", f"prompt-caching-2024-07-31,{beta}".encode())])
        assert caught.value.param == "anthropic-beta"
        assert beta in caught.value.message
