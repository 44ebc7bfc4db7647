"""The callers of a load process: each answered once, asked anew at once, and none taken for good."""

import asyncio
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.crowd import Crowd, Unwanted

GOOD = b'{"reply":"Reserved"}'


class Server:
    """What a crowd writes to; answers are made from what it asked."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def asked(self) -> list[bytes]:
        """The reply subjects of what was asked since the last time."""
        found = re.findall(rb"PUB s (\S+) 3\r\nraw\r\n", b"".join(self.written))
        self.written.clear()
        return found


def answer(to: bytes, body: bytes, *, headers: bool) -> bytes:
    if not headers:
        return b"MSG %b 1 %d\r\n%b\r\n" % (to, len(body), body)
    head = b"NATS/1.0\r\nNow: 1\r\n\r\n"
    return b"HMSG %b 1 %d %d\r\n%b%b\r\n" % (to, len(head), len(head) + len(body), head, body)


class Talk:
    """A crowd that has begun to ask."""

    def __init__(self, callers: int, seconds: float) -> None:
        self.server = Server()
        self.crowd = Crowd("user", "password")
        self.crowd.connection_made(self.server)
        self.crowd.data_received(b"PONG\r\n")
        self.server.written.clear()
        self.task = asyncio.ensure_future(
            self.crowd.run(callers, seconds, lambda: (b"s", b"raw"), b"Reserved")
        )


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.lists(st.integers(0, 400), max_size=6))
async def test_every_answer_counts_once_however_it_is_cut(headers: list[bool], cuts: list[int]):
    talk = Talk(callers=3, seconds=60)
    await asyncio.sleep(0)
    asked = talk.server.asked()
    assert len(set(asked)) == 3
    wire = b"PING\r\n" + b"".join(
        answer(to, GOOD, headers=with_headers)
        for to, with_headers in zip(asked, headers, strict=True)
    )
    edges = sorted({0, *(min(cut, len(wire)) for cut in cuts), len(wire)})
    for start, end in pairwise(edges):
        talk.crowd.data_received(wire[start:end])
    assert b"PONG\r\n" in talk.server.written
    anew = talk.server.asked()
    assert len(anew) == 3, "each asks again, once"
    assert not {*anew} & {*asked}
    talk.crowd._until = 0
    for to in anew:
        talk.crowd.data_received(answer(to, GOOD, headers=False))
    assert len(await talk.task) == 6
    assert talk.server.asked() == [], "nobody asks after the end"


async def test_another_answer_makes_the_round_void():
    talk = Talk(callers=2, seconds=60)
    await asyncio.sleep(0)
    talk.crowd.data_received(answer(talk.server.asked()[0], b'{"reply":"Declined"}', headers=True))
    with pytest.raises(Unwanted, match="Declined"):
        await talk.task


async def test_an_answer_that_comes_twice_makes_the_round_void():
    """It would count as a command, and one that was asked at the end would not: both would fit."""
    talk = Talk(callers=1, seconds=60)
    await asyncio.sleep(0)
    [asked] = talk.server.asked()
    for _ in range(2):
        talk.crowd.data_received(answer(asked, GOOD, headers=True))
    with pytest.raises(Unwanted, match="not asked"):
        await talk.task


async def test_a_lost_connection_ends_the_round():
    talk = Talk(callers=2, seconds=60)
    await asyncio.sleep(0)
    talk.crowd.connection_lost(None)
    with pytest.raises(ConnectionError):
        await talk.task
