import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

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
    assert canonical(strict.model_dump(mode="json", exclude_unset=True)) == raw


@pytest.mark.parametrize("name", ["Opened", "Frozen", "Issued", "Configured"])
def test_a_reply_without_balances_says_that_no_credits_moved(name):
    wire = examples.reply(name)
    lacking = {key: part for key, part in wire["data"].items() if key not in examples.BALANCES}
    for data in (lacking, lacking | examples.BALANCES):
        STRICT_REPLIES[name].model_validate_json(encode_reply(wire | {"data": data}))


@pytest.mark.parametrize("name", ["Granted", "Reserved", "Settled", "Released", "Refunded"])
def test_the_reply_to_a_money_command_always_carries_the_balances(name):
    wire = examples.reply(name)
    for field in examples.BALANCES:
        lacking = {key: part for key, part in wire["data"].items() if key != field}
        with pytest.raises(ValidationError):
            STRICT_REPLIES[name].model_validate_json(encode_reply(wire | {"data": lacking}))


@given(st.binary(max_size=300))
@settings(max_examples=200)
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
