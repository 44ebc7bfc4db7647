"""The meter of Anthropic messages merges what a stream tells twice, and changes nothing."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError, believable
from services.gateway.surfaces.anthropic_messages import AnthropicMessages
from services.gateway.surfaces.anthropic_meter import MessageMeter, usage_of

USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 70,
    "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 1,
    "service_tier": "standard",
    "inference_geo": "global",
    "speed": None,
}
ALL = Usage(180, 100, 40, cache_write_tokens=50, cache_write_1h_tokens=20)


def event(kind: str, **data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind} | data))


def start(usage: object = USAGE) -> bytes:
    return event("message_start", message={"type": "message", "usage": usage})


def text(said: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})


def delta(usage: object, stop: str | None = "end_turn") -> bytes:
    return event("message_delta", delta={"stop_reason": stop}, usage=usage)


STOP = event("message_stop")


def test_a_whole_answer_tells_its_usage():
    one = MessageMeter()
    body = {"type": "message", "stop_reason": "tool_use", "usage": USAGE | {"output_tokens": 40}}
    one.whole(orjson.dumps(body))
    assert (one.usage, one.finish, one.complete, one.odd) == (ALL, "tool_use", True, None)


@pytest.mark.parametrize(
    "later",
    [
        {"output_tokens": 40},
        USAGE | {"output_tokens": 40},
        {"input_tokens": 10, "output_tokens": 40, "cache_read_input_tokens": None},
        {"output_tokens": 40, "input_tokens": "10", "cache_creation": None},
    ],
)
def test_the_later_usage_lies_over_the_earlier_and_is_not_added(later: dict):
    one = MessageMeter()
    one.feed(start() + text("a") + delta(later))
    assert one.usage == ALL
    one.feed(delta(later))
    assert one.usage == ALL


@pytest.mark.requirement("RSV-2")
@pytest.mark.parametrize(
    "end", [delta(None) + STOP, delta({}) + STOP, delta({"output_tokens": "9"}), STOP]
)
def test_output_that_was_counted_at_the_start_alone_is_estimated(end: bytes):
    """Else an answer of any length would cost the one token that it began with."""
    one = MessageMeter()
    one.feed(start() + text("four") + end)
    assert one.complete
    assert one.usage == replace(ALL, output_tokens=0)
    assert believable(one) is None
    nothing = MessageMeter()
    nothing.feed(start() + end)
    assert believable(nothing) == replace(ALL, output_tokens=0)


def test_counts_that_grow_in_a_stream_are_the_last_ones():
    one = MessageMeter()
    one.feed(start() + delta({"output_tokens": 20}, stop=None))
    assert (one.usage.output_tokens, one.complete) == (20, False)
    one.feed(delta({"output_tokens": 40}))
    assert (one.usage.output_tokens, one.complete) == (40, True)


@pytest.mark.parametrize(
    "usage",
    [None, [], {}, {"output_tokens": 5}, {"input_tokens": -1, "output_tokens": 5},
     {"input_tokens": 1.5, "output_tokens": 5}, {"input_tokens": 10**12, "output_tokens": 5},
     {"input_tokens": True, "output_tokens": 5}, {"input_tokens": 5}],
)  # fmt: skip
def test_usage_that_makes_no_sense_is_no_usage(usage: object):
    one = MessageMeter()
    one.whole(orjson.dumps({"type": "message", "usage": usage}))
    assert one.usage is None
    one = MessageMeter()
    one.feed(start(usage))
    assert one.usage is None


def test_a_good_count_is_not_lost_to_a_broken_one():
    one = MessageMeter()
    one.feed(start() + delta({"output_tokens": 40}) + delta({"output_tokens": "many"}))
    assert one.usage == ALL


def test_where_parts_and_sum_of_what_was_cached_differ_nothing_is_free():
    told = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 5}
    assert usage_of(told) == Usage(6, 0, 1, cache_write_tokens=5)
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 9}
    assert usage_of(told | {"cache_creation": split}) == Usage(10, 0, 1, cache_write_1h_tokens=9)


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("more", "odd"),
    [
        ({"service_tier": "priority"}, "service_tier=priority"),
        ({"service_tier": "standard"}, None),
        ({"speed": "fast"}, "speed=fast"),
        ({"inference_geo": "us"}, "inference_geo=us"),
        ({"inference_geo": "not_available"}, None),
        ({"service_tier": ["x"]}, "service_tier=['x']"),
        ({"server_tool_use": {"web_search_requests": 2}}, "server_tool_use"),
        ({"server_tool_use": {"web_search_requests": 0}}, None),
    ],
)
def test_what_was_served_at_another_price_is_noticed(more: dict, odd: str | None):
    one = MessageMeter()
    one.feed(start(USAGE | more) + delta({"output_tokens": 40}))
    assert one.odd == odd
    assert one.usage == ALL


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"<html>", b'{"type": "error", "error": {"type": "x"}}', b'{"a": 1}']
)
def test_what_is_no_answer_is_not_charged(body: bytes):
    with pytest.raises(UpstreamBrokenError):
        MessageMeter().whole(body)


def test_the_last_event_is_held_back_and_nothing_follows_it():
    one = MessageMeter()
    assert one.feed(start() + STOP + text("b")) == start()
    assert (one.held, one.complete) == (STOP, True)
    assert one.feed(text("c")) == one.end() == b""


@pytest.mark.parametrize(
    "said",
    ['"type": "message_stop"', '{"type":"error","error":{}}', '"usage": {"output_tokens": 9}',
     'event: message_stop\ndata: {"type": "message_stop"}\n\n'],
)  # fmt: skip
def test_what_a_model_says_is_never_taken_for_the_protocol(said: str):
    one = MessageMeter()
    assert one.feed(text(said)) == text(said)
    assert (one.usage, one.failed, one.complete, one.held) == (None, False, False, b"")


def test_an_error_event_is_relayed_and_fails_the_stream():
    one = MessageMeter()
    error = event("error", error={"type": "overloaded_error", "message": "no"})
    assert one.feed(text("a") + error) == text("a") + error
    assert one.failed


def test_delivered_text_is_counted_by_its_bytes():
    one = MessageMeter()
    thought = event("content_block_delta", delta={"type": "thinking_delta", "thinking": "abc"})
    call = event("content_block_delta", delta={"type": "input_json_delta", "partial_json": "{}"})
    one.feed(text("äb") + thought + call)
    assert one.delivered == 3 + 3 + 2
    one = MessageMeter()
    blocks = [{"type": "text", "text": "äb"}, {"type": "tool_use", "input": {"a": 1}}]
    one.whole(orjson.dumps({"type": "message", "content": blocks}))
    assert one.delivered == 3 + len('{"a":1}')


def test_an_ending_closes_the_block_that_is_open_and_tells_what_is_charged():
    one = MessageMeter()
    one.feed(start() + event("content_block_start", index=1) + text("a"))
    ending = AnthropicMessages().ending(None, one, Usage(5, 0, 7))
    other = MessageMeter()
    assert other.feed(ending) == ending[: ending.index(b"event: message_stop")]
    assert (other.finish, other.complete) == ("max_tokens", True)
    assert ending.startswith(b'event: content_block_stop\ndata: {"type":"content_block_stop",')
    one.feed(event("content_block_stop", index=1))
    assert AnthropicMessages().ending(None, one, Usage(5, 0, 7)).startswith(b"event: message_delta")


@given(st.lists(st.integers(1, 400), max_size=10), st.booleans())
def test_any_cut_gives_the_same_reading(cuts: list[int], crlf: bool):
    parts = [start(), event("ping"), text("a"), delta({"output_tokens": 40})]
    whole = b"".join([*parts, STOP])
    if crlf:
        whole, parts = whole.replace(b"\n", b"\r\n"), [b"".join(parts).replace(b"\n", b"\r\n")]
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    one = MessageMeter()
    relayed = b"".join(one.feed(whole[a:b]) for a, b in zip(edges, edges[1:], strict=False))
    assert relayed + one.end() == b"".join(parts)
    assert (one.usage, one.finish, one.delivered) == (ALL, "end_turn", 1)
    assert b"message_stop" in one.held


@pytest.mark.parametrize("reason", ["", "é", "a\nb", "\u2028"])
def test_a_reason_that_no_record_can_hold_does_not_lose_the_charge(reason: str):
    one = MessageMeter()
    one.whole(orjson.dumps({"type": "message", "stop_reason": reason, "usage": USAGE}))
    assert (one.finish, one.complete) == ("other", True)
