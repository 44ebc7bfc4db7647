"""An answer survives the way to Redis and back, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.exchange import Head
from services.gateway.idempotency.answers import Answer, pack, unpack

HEADERS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5)


@given(HEADERS.map(tuple), st.binary(max_size=200), st.none() | st.just("0.25"))
def test_what_was_packed_is_told_to_the_letter(headers: tuple, body: bytes, charged: str | None):
    answer = Answer("req_1", 200, charged, Head(200, headers, body))
    assert unpack(pack(answer)) == answer


@given(st.binary(max_size=100) | st.sampled_from([b"{}", b"[]", b'{"id":1}\n', b"null\nx"]))
def test_anything_else_is_no_answer(raw: bytes):
    assert unpack(raw) is None
