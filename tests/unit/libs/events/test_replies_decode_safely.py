import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.codec import Malformed, canonical, decode_reply, encode_reply
from libs.events.replies import REPLIES, STRICT_REPLIES, Reply
from tests.contract import examples


def test_there_is_an_example_of_every_reply():
    assert set(examples.REPLIES) == set(REPLIES) == set(STRICT_REPLIES)


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_survives_its_bytes(name):
    raw = encode_reply(examples.reply(name))
    reply = decode_reply(raw)
    assert isinstance(reply, Reply)
    assert reply.model_dump() == examples.reply(name)
    strict = STRICT_REPLIES[name].model_validate_json(raw)
    assert canonical(strict.model_dump(mode="json")) == raw


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_no_reply(raw):
    assert isinstance(decode_reply(raw), Malformed)


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": "Perhaps"},
        {"position": "1"},
        {"position": -1},
        {"event_count": 1.5},
        {"data": None},
        {"more": 1},
    ],
)
def test_a_reply_out_of_bounds_is_malformed(changes):
    import json

    raw = json.dumps(examples.reply("Reserved") | changes).encode()
    assert isinstance(decode_reply(raw), Malformed)


def test_a_reply_to_bytes_that_named_no_account_has_none():
    reply = decode_reply(
        encode_reply(examples.reply("Malformed") | {"account_id": None, "position": None})
    )
    assert isinstance(reply, Reply)
    assert reply.account_id is None


def test_a_float_never_leaves_in_a_reply():
    with pytest.raises(TypeError):
        encode_reply(examples.reply("Busy") | {"data": {"retry_after_ms": 0.5}})
