"""Proven on a copy of one event, with steps of the tests' own: version 1 is the only one yet."""

import copy

import pytest

from libs.events.upcasters import STEPS, upcast
from tests.contract import examples


def to_two(body):
    body["data"]["reason"] = body["data"].pop("reason_code")
    return body | {"type_version": 2}


def to_three(body):
    body["data"]["revoked_by"] = None
    return body | {"type_version": 3}


CHAIN = {("KeyRevoked", 1): to_two, ("KeyRevoked", 2): to_three}


def test_no_event_has_an_older_form_yet():
    assert dict(STEPS) == {}
    assert upcast(examples.event("KeyRevoked")) == examples.event("KeyRevoked")


def test_an_old_event_goes_through_every_step():
    body = upcast(examples.event("KeyRevoked"), CHAIN)
    assert body["type_version"] == 3
    assert body["data"] == {"key_id": examples.KEY, "reason": "leaked", "revoked_by": None}


def test_an_event_of_the_middle_starts_in_the_middle():
    middle = to_two(copy.deepcopy(examples.event("KeyRevoked")))
    assert upcast(middle, CHAIN)["type_version"] == 3


def test_the_body_that_was_read_stays_as_it_was():
    body = copy.deepcopy(examples.event("KeyRevoked"))
    upcast(body, CHAIN)
    assert body == examples.event("KeyRevoked")


def test_other_types_are_left_alone():
    assert upcast(examples.event("AccountFrozen"), CHAIN) == examples.event("AccountFrozen")


@pytest.mark.parametrize("wrong", [{"type_version": 3}, {"type_version": 1}, {"type": "KeyIssued"}])
def test_a_step_that_leads_elsewhere_is_refused(wrong):
    with pytest.raises(ValueError, match="leads elsewhere"):
        upcast(examples.event("KeyRevoked"), {("KeyRevoked", 1): lambda body: body | wrong})
