import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.codec import Malformed, canonical, decode_event
from libs.events.events import EVENTS
from libs.events.fields import MAX_MESSAGE
from tests.contract import examples

names = st.sampled_from(list(EVENTS))


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_random_bytes_are_no_event(raw):
    assert isinstance(decode_event(raw), Malformed)


@given(names, st.data())
@settings(max_examples=300)
def test_mutated_bytes_never_raise(name, data):
    raw = bytearray(canonical(examples.event(name)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    decoded = decode_event(bytes(raw))
    if not isinstance(decoded, Malformed):
        assert json.loads(bytes(raw)) == decoded


@pytest.mark.parametrize("name", EVENTS)
def test_a_body_without_one_of_its_fields_is_malformed(name):
    body = examples.event(name)
    for field in body:
        lacking = {key: value for key, value in body.items() if key != field}
        assert isinstance(decode_event(canonical(lacking)), Malformed), field
    for field in body["data"]:
        lacking = copy.deepcopy(body)
        del lacking["data"][field]
        assert isinstance(decode_event(canonical(lacking)), Malformed), field


@pytest.mark.parametrize("name", EVENTS)
def test_a_field_that_the_contract_does_not_name_is_malformed(name):
    body = copy.deepcopy(examples.event(name))
    body["data"]["more"] = 1
    assert isinstance(decode_event(canonical(body)), Malformed)


def test_an_unknown_type_is_read_by_its_envelope_so_that_it_can_be_skipped():
    body = examples.event("KeyRevoked") | {"type": "MoonPhaseChanged", "data": {"phase": 3}}
    assert decode_event(canonical(body)) == body


def test_an_unknown_version_of_a_known_type_is_read_by_its_envelope():
    body = examples.event("KeyRevoked") | {"type_version": 2, "data": {"key": "other"}}
    assert decode_event(canonical(body)) == body


@pytest.mark.parametrize(
    "changes",
    [{"position": 0}, {"position": "1"}, {"version": -1}, {"prev": "x"}, {"type": None}, {"data": []},
     {"type": {}}, {"type": []}, {"type_version": 1.0}, {"type_version": True}, {"occurred_at": "now"},
     {"account_id": "acct_"}, {"account_id": examples.ACCOUNT}],
)  # fmt: skip
def test_an_envelope_out_of_bounds_is_malformed(changes):
    body = examples.event("CataloguePublished")
    raw = json.dumps(body | changes, separators=(",", ":"), sort_keys=True).encode()
    assert isinstance(decode_event(raw), Malformed)


def test_a_body_over_16_kib_is_malformed():
    raw = canonical(examples.event("KeyRevoked"))
    assert isinstance(decode_event(raw + b" " * MAX_MESSAGE), Malformed)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"x"', b"{}", b"\xff\xfe", b"[" * 5000])
def test_what_is_not_an_object_is_malformed(raw):
    assert isinstance(decode_event(raw), Malformed)
