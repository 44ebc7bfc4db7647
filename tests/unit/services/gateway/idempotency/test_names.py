"""What a repeat is recognised by: the same for the same request, and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.ids import new_id
from services.gateway.errors import Refusal
from services.gateway.idempotency.naming import (
    TAG,
    attempt_id,
    digest_of,
    key_of,
    tagged,
)

pytestmark = pytest.mark.requirement("RSV-3")

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255)
ACCOUNT = "acct_0123456789abcdef0123456789abcdef"


def scope(method: str = "POST", path: str = "/v1/x", query: bytes = b"") -> dict:
    return {"method": method, "path": path, "query_string": query}


def named(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *[(b"idempotency-key", value) for value in values]]


def test_the_id_of_a_try_is_the_same_at_every_gateway_for_ever():
    assert attempt_id(ACCOUNT, "order 81", 0) == "req_fcbbdcaf19c7812788b287fce5e728b6"
    assert attempt_id(ACCOUNT, "order 81", 1) != attempt_id(ACCOUNT, "order 81", 0)


@given(
    st.tuples(PRINTABLE, st.integers(0, 15), st.booleans()),
    st.tuples(PRINTABLE, st.integers(0, 15), st.booleans()),
)
def test_two_tries_share_an_id_only_if_they_are_one(one: tuple, other: tuple):
    accounts = (ACCOUNT, "acct_" + "f" * 32)
    ids = [attempt_id(accounts[mine], key, number) for key, number, mine in (one, other)]
    assert (ids[0] == ids[1]) is (one == other)


def test_nobody_derives_the_id_of_another_account():
    assert len({attempt_id(new_id("acct"), "a", 0) for _ in range(100)}) == 100


@given(PRINTABLE)
def test_every_printable_text_is_a_key(text: str):
    assert key_of(named(text.encode())) == text


def test_without_the_header_there_is_none():
    assert key_of(named()) is None


@pytest.mark.parametrize(
    "values", [(b"",), (b"x" * 256,), (b"a\x7f",), (b"\xc3\xa9",), (b"a\nb",), (b"a", b"a")]
)
def test_anything_else_is_refused(values: tuple[bytes, ...]):
    with pytest.raises(Refusal) as caught:
        key_of(named(*values))
    assert (caught.value.status, caught.value.code) == (400, "invalid_idempotency_key")


def test_method_path_query_and_body_make_another_request():
    asked = [
        (scope(), b"body"),
        (scope("PUT"), b"body"),
        (scope(path="/v1/y"), b"body"),
        (scope(query=b"a=1"), b"body"),
        (scope(), b"body "),
        (scope(path="/v1/x4:body"), b""),
        (scope(), b""),
    ]
    assert len({digest_of(*one) for one in asked}) == len(asked)
    assert digest_of(*asked[0]) == digest_of(scope(), b"body")


def test_the_tags_say_what_was_asked_for_and_leave_room_for_it():
    own = {f"t{number}": "x" for number in range(7)}
    assert tagged(own, "d" * 32) == own | {TAG: "d" * 32}
    for tags in (own | {"t7": "x"}, {TAG: "mine"}):
        with pytest.raises(Refusal) as caught:
            tagged(tags, "d" * 32)
        assert (caught.value.status, caught.value.param) == (400, "farebox-tags")
