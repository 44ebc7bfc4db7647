"""The meter reads what was used and changes nothing."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError
from services.gateway.surfaces.chat_meter import ChatMeter

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def meter(*, choices: int = 1, strip: bool = True) -> ChatMeter:
    return ChatMeter(choices=choices, strip_usage=strip)


def event(chunk: object) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def delta(text: str | None, finish: str | None = None, index: int = 0, **more: object) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return event({"choices": [choice], **more})


DONE = b"data: [DONE]\n\n"
REPORT = event({"choices": [], "usage": USAGE})


def test_a_whole_answer_tells_its_usage():
    body = {"choices": [{"finish_reason": "stop", "message": {"content": "a"}}], "usage": USAGE}
    one = meter()
    one.whole(orjson.dumps(body))
    assert (one.usage, one.finish, one.complete) == (Usage(10, 0, 5), "stop", True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"<html>", b'{"error": {"message": "no"}}', b'{"error": "no"}',
     b'{"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}'],
)  # fmt: skip
def test_what_is_no_answer_is_not_charged(body: bytes):
    with pytest.raises(UpstreamBrokenError):
        meter().whole(body)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "10",
        {},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 10, "completion_tokens": -5},
        {"prompt_tokens": "10", "completion_tokens": 5},
        {"prompt_tokens": 10.0, "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": 10, "completion_tokens": 10**12},
        {"prompt_tokens": 10},
        USAGE | {"prompt_tokens_details": {"cached_tokens": 11}},
        USAGE | {"prompt_tokens_details": {"cached_tokens": -1}},
        USAGE | {"prompt_tokens_details": {"cached_tokens": "1"}},
    ],
)
def test_usage_that_makes_no_sense_is_no_usage(usage: object):
    one = meter()
    one.whole(orjson.dumps({"choices": [{}], "usage": usage}))
    assert one.usage is None
    one = meter()
    one.feed(event({"choices": [], "usage": usage}))
    assert one.usage is None


def test_zero_is_a_usage():
    one = meter()
    one.whole(
        orjson.dumps({"choices": [{}], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})
    )
    assert one.usage == Usage(0, 0, 0)


def test_cached_tokens_are_read():
    one = meter()
    usage = USAGE | {"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None}}
    one.feed(event({"choices": [], "usage": usage}))
    assert one.usage == Usage(10, 4, 5)
    one.feed(event({"choices": [], "usage": USAGE | {"prompt_tokens_details": None}}))
    assert one.usage == Usage(10, 0, 5)


def test_the_last_event_is_held_back_and_nothing_follows_it():
    one = meter()
    assert one.feed(delta("a", "stop") + REPORT + DONE + delta("b")) == delta("a", "stop")
    assert (one.held, one.complete) == (DONE, True)
    assert one.feed(delta("c")) == b""
    assert one.end() == b""


def test_only_the_event_of_usage_alone_is_left_out():
    riding = delta("a", usage=USAGE)
    null = event({"choices": [], "usage": None})
    filters = event({"choices": [], "prompt_filter_results": []})
    assert meter().feed(filters + riding + null + REPORT) == filters + riding + null
    assert meter(strip=False).feed(riding + REPORT) == riding + REPORT


def test_a_good_count_is_not_lost_to_a_broken_one():
    one = meter()
    one.feed(REPORT + event({"choices": [], "usage": {"prompt_tokens": "x"}}))
    assert one.usage == Usage(10, 0, 5)


@pytest.mark.parametrize(
    "said",
    [
        '"usage": {"prompt_tokens": 1}',
        '"error": {"x": 1}',
        "data: [DONE]\n\n",
        '"finish_reason": "stop"',
    ],
)
def test_what_a_model_says_is_never_taken_for_the_protocol(said: str):
    one = meter()
    chunk = delta(said)
    assert one.feed(chunk) == chunk
    assert (one.usage, one.finish, one.failed, one.complete, one.held) == (
        None,
        None,
        False,
        False,
        b"",
    )


def test_an_error_event_is_relayed_and_fails_the_stream():
    one = meter()
    chunk = event({"error": {"message": "overloaded"}})
    assert one.feed(delta("a") + chunk) == delta("a") + chunk
    assert one.failed


def test_a_finish_that_says_error_fails_the_stream_and_what_a_model_says_does_not():
    one = meter()
    said = delta('"finish_reason": "error"')
    assert one.feed(said + delta("", "error")) == said + delta("", "error")
    assert one.failed
    one = meter()
    one.feed(said + delta("", "stop"))
    assert not one.failed


def test_an_end_without_its_blank_line_still_counts():
    one = meter()
    assert one.feed(delta("a", "stop") + b"data: [DONE]") == delta("a", "stop")
    assert not one.held
    assert one.end() == b""
    assert one.held == b"data: [DONE]"


def test_all_choices_must_end():
    one = meter(choices=2)
    one.feed(delta("a", "stop", 0))
    assert not one.complete
    one.feed(delta("b", "length", 1))
    assert one.complete
    assert one.finish == "length"


def test_delivered_text_is_counted_by_its_bytes():
    one = meter()
    call = {"tool_calls": [{"function": {"arguments": '{"a": 1}'}}]}
    one.feed(delta("äb") + delta(None) + event({"choices": [{"delta": call}]}))
    assert one.delivered == len("äb".encode()) + len(r"{\"a\": 1}")
    one = meter()
    one.feed(event({"choices": [{"delta": {"content": "", "reasoning": "hm"}}]}))
    one.feed(event({"choices": [{"delta": {"reasoning_content": "so"}}]}))
    assert one.delivered == len("hm") + len("so")


def test_an_endless_event_breaks_the_answer_off():
    one = meter()
    for _ in range(16):
        one.feed(b"x" * 1024 * 1024)
    with pytest.raises(UpstreamBrokenError):
        one.feed(b"x")


def with_line_ends(stream: bytes, end: str) -> bytes:
    return stream.replace(b"\n", end.encode())


@pytest.mark.requirement("RSV-2")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_split_of_a_stream_gives_the_same_bytes_and_the_same_usage(end: str):
    parts = [
        delta(""),
        delta("ä\n\n"),
        b": ping\n\n",
        b"event: x\ndata: {}\n\n",
        delta("b", "stop"),
    ]
    told = [with_line_ends(part, end) for part in [*parts, REPORT, DONE]]
    whole, relayed = b"".join(told), b"".join(told[:-2])
    cuts = [[whole[:at], whole[at:]] for at in range(len(whole) + 1)]
    cuts += [[whole[at : at + size] for at in range(0, len(whole), size)] for size in (1, 2, 3, 7)]
    for pieces in cuts:
        one = meter()
        assert b"".join(map(one.feed, pieces)) + one.end() == relayed
        assert one.held.rstrip() == b"data: [DONE]"
        assert (one.usage, one.finish, one.complete) == (Usage(10, 0, 5), "stop", True)
        assert one.delivered == len("ä\\n\\nb".encode())


chunks = st.lists(
    st.sampled_from([delta("a"), delta("b", "stop"), delta("c", usage=None), b": ping\n\n"]),
    max_size=6,
)


@given(chunks, st.lists(st.integers(1, 400), max_size=10))
def test_any_cut_gives_the_same_reading(parts: list[bytes], cuts: list[int]):
    whole = b"".join([*parts, REPORT, DONE])
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    one = meter()
    relayed = b"".join(one.feed(whole[a:b]) for a, b in zip(edges, edges[1:], strict=False))
    assert relayed + one.end() == b"".join(parts)
    assert (one.held, one.usage) == (DONE, Usage(10, 0, 5))
    reference = meter()
    reference.feed(whole)
    assert (one.delivered, one.finish) == (reference.delivered, reference.finish)


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("tier", "odd"),
    [(None, None), ("default", None), ("auto", None), ("priority", "service_tier=priority")],
)
def test_an_answer_of_another_tier_is_noted(tier, odd):
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    answer = {"choices": [{"finish_reason": "stop"}], "usage": usage, "service_tier": tier}
    whole, streamed = meter(), meter()
    whole.whole(orjson.dumps(answer))
    streamed.feed(b"data: " + orjson.dumps(answer | {"choices": []}) + b"\n\n")
    assert (whole.odd, streamed.odd) == (odd, odd)
