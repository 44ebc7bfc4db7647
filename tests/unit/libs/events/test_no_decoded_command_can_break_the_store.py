"""Whatever bytes arrive, decoding answers; and what it lets through fits every column."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.codec import Malformed, decode_command, encode_command
from libs.events.commands import COMMANDS
from tests.contract import examples
from tests.unit.libs.events.storable import NASTY, decode_checked, encode, places

kinds = st.sampled_from(list(COMMANDS))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_full_example_of_every_command_decodes_and_encodes_back(kind):
    decoded = decode_checked(encode(examples.command(kind)))
    assert isinstance(decoded, COMMANDS[kind]), decoded
    assert json.loads(encode_command(decoded)) == examples.command(kind)
    assert decode_command(encode_command(decoded)) == decoded


@given(st.binary(max_size=600))
@settings(max_examples=300)
def test_random_bytes_are_malformed(raw):
    assert isinstance(decode_checked(raw), Malformed)


@given(kinds, st.data())
@settings(max_examples=500)
def test_a_command_with_mutated_bytes_is_malformed_or_within_all_bounds(kind, data):
    raw = bytearray(encode(examples.command(kind)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "cut", "put", "double"])):
            case "set":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 20))]
            case "put":
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "double":
                raw[at:at] = raw[at : at + data.draw(st.integers(1, 200))]
        if not raw:
            break
    decode_checked(bytes(raw))


@pytest.mark.parametrize("kind", COMMANDS)
def test_any_nasty_value_in_any_place_is_malformed_or_within_all_bounds(kind):
    for path in places(examples.command(kind)):
        for nasty in NASTY:
            wire = copy.deepcopy(examples.command(kind))
            part = wire
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = nasty
            decode_checked(encode(wire))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_that_lacks_any_field_is_malformed(kind):
    for path in places(examples.command(kind)):
        wire = copy.deepcopy(examples.command(kind))
        part = wire
        for step in path[:-1]:
            part = part[step]
        if isinstance(part, dict) and path[-2:-1] not in {("tags",), ("usage",)}:
            del part[path[-1]]
            found = decode_checked(encode(wire))
            newer = kind == "Reserve" and path == ("data", "once")
            assert isinstance(found, Malformed) is not newer, path


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_field_that_the_contract_does_not_name_is_malformed(kind):
    for path in [(), ("data",)]:
        wire = copy.deepcopy(examples.command(kind))
        (wire["data"] if path else wire)["extra"] = None
        assert isinstance(decode_checked(encode(wire)), Malformed)
