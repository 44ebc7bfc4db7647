"""The meter of responses reads what was used, holds the last event back and changes nothing."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage
from services.gateway.errors import Refusal, response_event
from services.gateway.meter import UpstreamBrokenError
from services.gateway.surfaces.responses_meter import ResponsesMeter, response_ending

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
}
READ = Usage(10, 4, 5, cache_write_tokens=3)


def event(kind: str, end: bytes = b"\n\n", **fields: object) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return b"event: " + kind.encode() + end[: len(end) // 2] + b"data: " + data + end


def delta(text: str) -> bytes:
    return event("response.output_text.delta", delta=text, output_index=0)


def last(kind: str = "completed", **fields: object) -> bytes:
    response = {"status": kind, "usage": USAGE, "output": [], "error": None} | fields
    return event(f"response.{kind}", response=response)


CREATED = event("response.created", response={"status": "in_progress", "usage": None})


@pytest.mark.parametrize(
    ("final", "finish"),
    [
        (last(), "completed"),
        (
            last("incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "max_output_tokens",
        ),
    ],
)
def test_the_last_event_is_held_back_and_nothing_follows_it(final: bytes, finish: str):
    meter = ResponsesMeter()
    assert meter.feed(CREATED + delta("ab") + final + delta("c")) == CREATED + delta("ab")
    assert (meter.held, meter.usage, meter.finish, meter.complete) == (final, READ, finish, True)
    assert meter.delivered == 2
    assert meter.feed(delta("d")) == meter.end() == b""


@pytest.mark.parametrize(
    "failure",
    [last("failed"), event("error", message="no", code="server_error"),
     b'data: {"error": {"message": "no"}}\n\n'],
)  # fmt: skip
def test_a_failure_is_relayed_and_fails_the_stream(failure: bytes):
    meter = ResponsesMeter()
    assert meter.feed(delta("a") + failure + last()) == delta("a") + failure
    assert (meter.failed, meter.complete, meter.held) == (True, False, b"")


def test_a_stream_without_its_last_event_is_not_complete():
    meter = ResponsesMeter()
    meter.feed(CREATED + delta("a") + event("response.output_item.done", item={}))
    assert (meter.complete, meter.usage) == (False, None)


@pytest.mark.parametrize("said", ['"type": "response.completed"', '"error": {"x": 1}'])
def test_what_a_model_says_or_a_client_told_is_never_taken_for_the_protocol(said: str):
    meter = ResponsesMeter()
    schema = orjson.loads("{" + said + "}")
    echoed = event("response.created", response={"tools": [{"parameters": schema}]})
    assert meter.feed(delta(said) + echoed) == delta(said) + echoed
    assert (meter.complete, meter.failed, meter.held) == (False, False, b"")


def test_a_whole_response_tells_its_usage_and_what_was_said():
    meter = ResponsesMeter()
    output = [
        {"type": "message", "content": [{"type": "output_text", "text": "äb"}]},
        {"type": "function_call", "arguments": "{}"},
        {"type": "reasoning", "summary": [{"text": "x"}]},
        None,
    ]
    meter.whole(orjson.dumps({"status": "completed", "output": output, "usage": USAGE}))
    assert (meter.usage, meter.finish, meter.delivered) == (READ, "completed", 3 + 2 + 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"error": {"message": "no"}}', b'{"status": "failed"}',
     b'{"status": "cancelled"}'],
)  # fmt: skip
def test_what_is_no_answer_is_not_charged(body: bytes):
    with pytest.raises(UpstreamBrokenError):
        ResponsesMeter().whole(body)


@pytest.mark.parametrize(
    "usage",
    [None, [], {}, {"input_tokens": 1}, USAGE | {"output_tokens": -1}, USAGE | {"input_tokens": "1"},
     USAGE | {"input_tokens_details": {"cache_write_tokens": "x"}}],
)  # fmt: skip
def test_usage_that_makes_no_sense_is_no_usage(usage: object):
    meter = ResponsesMeter()
    meter.feed(last(usage=usage))
    assert (meter.usage, meter.complete) == (None, True)


@given(st.lists(st.integers(1, 400), max_size=10), st.booleans())
def test_any_cut_and_either_line_end_gives_the_same_reading(cuts: list[int], crlf):
    end = b"\r\n\r\n" if crlf else b"\n\n"
    body = event("response.output_text.delta", end, delta="ab")
    final = event("response.completed", end, response={"status": "completed", "usage": USAGE})
    whole = body + final
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    meter = ResponsesMeter()
    relayed = b"".join(meter.feed(whole[a:b]) for a, b in zip(edges, edges[1:], strict=False))
    assert (relayed + meter.end(), meter.held) == (body, final)
    assert (meter.usage, meter.delivered) == (READ, 2)


def test_our_own_error_has_the_shape_of_the_named_events():
    told = response_event(Refusal(503, "gateway_stopped", "Stopped.", param=None))
    name, data = told.split(b"\n")[:2]
    assert (name, told[-2:]) == (b"event: error", b"\n\n")
    error = {"code": "gateway_stopped", "message": "Stopped.", "param": None}
    assert orjson.loads(data.removeprefix(b"data: ")) == {
        "type": "error", **error, "sequence_number": 0, "error": {"type": "server_error", **error},
    }  # fmt: skip


@pytest.mark.requirement("RSV-5")
def test_a_stream_is_ended_early_as_the_provider_itself_ends_one_at_its_cap():
    meter = ResponsesMeter()
    begun = event("response.created", response={"id": "resp_1", "model": "m", "usage": None})
    half = b'data: {"type":"response.output_text.delta","delta":"%b"}\n\n'
    meter.feed(begun + half % b"a\\ud83d" + half % b"\\ude00b" + half % b"\\ud83d")
    name, data = response_ending(meter, Usage(10, 4, 5)).split(b"\n")[:2]
    told = orjson.loads(data.removeprefix(b"data: "))
    assert (name, told["type"]) == (b"event: response.incomplete", "response.incomplete")
    response = told["response"]
    assert (response["id"], response["status"]) == ("resp_1", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["content"][0]["text"] == "a\U0001f600b?"
    assert response["usage"]["output_tokens"] == 5
    assert told["sequence_number"] == 4


@pytest.mark.requirement("RSV-5")
def test_a_piece_that_was_not_relayed_is_not_told_at_the_end_either():
    meter = ResponsesMeter()
    meter.feed(event("response.created", response={"id": "resp_1"}))
    meter.feed(event("response.output_text.delta", delta="paid"))
    before = meter.delivered
    meter.feed(event("response.output_text.delta", delta=" and free"))
    meter.delivered = before
    assert b'"text":"paid"' in response_ending(meter, Usage(10, 0, 1))
