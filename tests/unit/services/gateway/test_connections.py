"""A client cannot fill the memory with a request that never begins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.connections import HEAD_MAX, BoundedConnection
from services.gateway.server import listen, serving
from tests.support.gateway import until
from tests.support.slow_client import drip, read_slowly

START = b"POST /x HTTP/1.1\r\nhost: a\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the sizes of head and body."""
    head = sum(len(name) + len(value) for name, value in scope["headers"])
    body, more = 0, True
    while more:
        message = await receive()
        body += len(message.get("body", b""))
        more = message.get("more_body", False)
    text = b"%d %d" % (head, body)
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@asynccontextmanager
async def connected(
    app: ASGIApp = echo, stall_s: float = 120
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listening = listen(("127.0.0.1", 0), shared=False)
    async with asyncio.timeout(20), serving(app, listening, grace_s=1, stall_s=stall_s):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


async def answer_to(sent: bytes) -> bytes:
    """All that comes back before the server closes the connection."""
    async with connected() as (reader, writer):
        writer.write(sent)
        return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while True:
        try:
            piece = await reader.read(65536)
        except ConnectionResetError:  # it closed on what it has not read
            return found
        if not piece:
            return found
        found += piece


@pytest.mark.parametrize(
    "endless",
    [
        b"POST /" + b"x" * 4 * HEAD_MAX,
        START + b"x: " + b"x" * 4 * HEAD_MAX,
        START + b"".join([b"x-%d: 1\r\n" % n for n in range(HEAD_MAX // 2)]),
        START + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"x" * 4 * HEAD_MAX,
    ],
    ids=["target", "one header", "many headers", "trailer"],
)
async def test_a_head_that_does_not_end_ends_the_connection(endless: bytes):
    found = await answer_to(endless)
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")


async def test_the_client_is_told_why():
    async with connected() as (reader, writer):
        # Just above the limit: all of it is read, so that the answer is not lost by a reset.
        writer.write(START + b"x: " + b"x" * HEAD_MAX)
        found = await read_all(reader)
    assert found.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"connection: close" in found


async def test_a_head_below_the_limit_passes_however_it_is_cut():
    head = START + b"x: " + b"x" * (HEAD_MAX - 1000) + b"\r\ncontent-length: 2\r\n\r\n"
    async with connected() as (reader, writer):
        for start in range(0, len(head), 7000):
            writer.write(head[start : start + 7000])
            await writer.drain()
        writer.write(b"ab")
        found = await reader.readuntil(b"\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200 ")
        assert (await reader.read(64)).endswith(b" 2")


async def test_a_body_is_no_head_and_requests_are_counted_apart():
    size = 8 * HEAD_MAX
    one = START + b"x: " + b"x" * (HEAD_MAX // 2) + b"\r\ncontent-length: %d\r\n\r\n" % size
    chunks = b"".join([b"1;x=%d\r\na\r\n" % n for n in range(HEAD_MAX // 4)]) + b"0\r\n\r\n"
    async with connected() as (reader, writer):
        for _ in range(4):
            writer.write(one + b"b" * size)
            assert b"200 OK" in await reader.readuntil(b" %d" % size)
        writer.write(START + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        assert b"200 OK" in await reader.readuntil(b" %d" % (HEAD_MAX // 4))


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "head_s", 0.2)
    monkeypatch.setattr(BoundedConnection, "linger_s", 0.2)


@pytest.mark.requirement("LIM-2")
@pytest.mark.usefixtures("hurry")
class TestSlowClients:
    @pytest.mark.parametrize("first", [b"", START + b"\r\n"], ids=["new", "used"])
    @pytest.mark.parametrize(
        ("drops", "told"),
        [(b"POST /slow HTTP/1.1\r\nhost: " + b"a" * 500, b"408"), (b"\r\n" * 250, b"")],
        ids=["head", "blank lines"],
    )
    async def test_a_head_that_comes_in_drops_ends_the_connection(
        self, first: bytes, drops: bytes, told: bytes
    ):
        async with connected() as (reader, writer):
            if first:
                writer.write(first)
                assert b" 200 " in await reader.readline()
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(b"5 0"))
            sending = asyncio.create_task(drip(writer, drops))
            found = await read_all(reader)
            sending.cancel()
        assert found.split(b" ")[1:2] == ([told] if told else [])

    async def test_a_connection_that_says_nothing_ends(self):
        async with connected() as (reader, _):
            assert await read_all(reader) == b""

    async def test_a_body_that_goes_on_after_its_answer_ends_the_connection(self):
        async with connected(unread) as (reader, writer):
            writer.write(START + b"content-length: 1000000\r\n\r\n")
            assert b" 429 " in await reader.readline()
            sending = asyncio.create_task(drip(writer, b"x" * 500))
            await read_all(reader)
            sending.cancel()

    async def test_a_body_that_ends_after_its_answer_keeps_the_connection(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(BoundedConnection, "linger_s", 60)  # it is not the time that ends it
        async with connected(unread) as (reader, writer):
            for _ in range(2):
                writer.write(START + b"content-length: 10\r\n\r\n12345")
                assert b" 429 " in await reader.readline()
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"67890")


@pytest.mark.requirement("LIM-2")
async def test_the_time_of_one_head_is_not_that_of_the_next(monkeypatch: pytest.MonkeyPatch):
    made: list[BoundedConnection] = []
    timers: list[asyncio.TimerHandle] = []
    original = BoundedConnection.connection_made

    def begins(self: BoundedConnection, transport: asyncio.Transport) -> None:
        made.append(self)
        original(self, transport)

    monkeypatch.setattr(BoundedConnection, "connection_made", begins)
    async with connected() as (reader, writer):
        for _ in range(4):
            writer.write(b"POST ")
            await until(lambda: made and made[0]._in_head and made[0]._head)
            timer = made[0]._head
            assert timer is not None
            timers.append(timer)
            assert [each.cancelled() for each in timers] == [True] * (len(timers) - 1) + [False]
            writer.write(START[5:] + b"content-length: 0\r\n\r\n")
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(4)
    moments = [timer.when() for timer in timers]
    assert moments == sorted(set(moments)), "each began anew"


async def unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading the body."""
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body"})


BIG = 32 * 1024 * 1024


async def whole(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"%d" % BIG)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(BIG)})


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    for _ in range(BIG // 65536):
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body"})


@pytest.mark.requirement("LIM-2")
@pytest.mark.parametrize("app", [whole, stream])
class TestSlowReaders:
    async def test_an_answer_that_is_not_taken_ends_the_connection(
        self, app: ASGIApp, monkeypatch: pytest.MonkeyPatch
    ):
        ended = asyncio.Event()
        original = BoundedConnection.connection_lost

        def lost(self: BoundedConnection, exc: Exception | None) -> None:
            ended.set()
            original(self, exc)

        monkeypatch.setattr(BoundedConnection, "connection_lost", lost)
        async with connected(app, stall_s=0.2) as (reader, writer):
            reader._transport.pause_reading()
            writer.write(START + b"\r\n")
            await ended.wait()
            reader._transport.resume_reading()
            assert len(await read_all(reader)) < BIG

    async def test_one_that_is_taken_slowly_but_steadily_arrives(self, app: ASGIApp):
        async with connected(app, stall_s=0.3) as (reader, writer):
            writer.write(START + b"connection: close\r\n\r\n")
            assert await read_slowly(reader, 2 * 1024 * 1024, pause_s=0.002) > BIG


@pytest.mark.requirement("LIM-2")
async def test_two_lengths_or_a_length_and_chunks_are_400():
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was understood")

    bad = [
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde",
        b"content-length: 5, 5\r\n\r\nabcde",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"content-length: -1\r\n\r\n",
        b"content-length: +1\r\n\r\na",
        b"content-length: 0x1\r\n\r\na",
        b"content-length : 1\r\n\r\na",
        b"x: 1\r\n content-length: 1\r\n\r\na",
        b"transfer-encoding: gzip\r\n\r\n",
        b"content-length: 99999999999999999999999\r\n\r\n",
    ]
    listening = listen(("127.0.0.1", 0), shared=False)
    address = listening.getsockname()
    async with asyncio.timeout(20), serving(never, listening, grace_s=1):
        for headers in bad:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(START + headers)
            found = await read_all(reader)
            writer.close()
            assert found.startswith(b"HTTP/1.1 400 "), (headers, found)
