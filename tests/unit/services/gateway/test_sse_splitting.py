"""Events are cut at blank lines, wherever the network cut the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sse import EventTooLargeError, Splitter, data_of

LINE_ENDS = ("\n", "\r\n", "\r")
events = st.lists(st.sampled_from(["data: a", "data: b\nid: 1", ": note", "event: x"]), max_size=6)


def feed(splitter: Splitter, pieces: list[bytes]) -> list[bytes]:
    return [event for piece in pieces for event in splitter.feed(piece)]


@given(events, st.sampled_from(LINE_ENDS), st.lists(st.integers(0, 120), max_size=8))
def test_any_cut_gives_the_same_events(texts: list[str], end: str, cuts: list[int]):
    whole = "".join(text.replace("\n", end) + end + end for text in texts).encode()
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    splitter = Splitter()
    found = feed(splitter, pieces)
    rest = splitter.rest()
    assert b"".join(found) + rest == whole
    datas = [data_of(event) for event in [*found, rest] if event]
    assert [d for d in datas if d] == [data_of(t.encode()) for t in texts if data_of(t.encode())]


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_no_byte_is_lost_or_made(pieces: list[bytes]):
    splitter = Splitter()
    assert b"".join(feed(splitter, pieces)) + splitter.rest() == b"".join(pieces)


def test_a_lone_cr_at_the_end_of_a_piece_waits_for_its_lf():
    splitter = Splitter()
    assert splitter.feed(b"data: a\r\n\r") == []
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"data: a\r\n\r\n", b"data: b\r\n\r\n"]


def test_an_event_is_given_as_soon_as_it_is_whole():
    splitter = Splitter()
    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\ndata: b") == [b"data: a\n\n"]


def test_an_endless_event_is_refused():
    splitter = Splitter(largest=10)
    with pytest.raises(EventTooLargeError):
        splitter.feed(b"data: 12345678")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"event: e\r\ndata: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b": data: no\n\n", b""),
    ],
)
def test_the_data_of_an_event_is_its_data_lines(event: bytes, data: bytes):
    assert data_of(event) == data
