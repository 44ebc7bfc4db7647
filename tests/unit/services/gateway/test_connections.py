"""A client cannot fill the memory with a request that never begins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.connections import HEAD_MAX
from services.gateway.server import listen, serving

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
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listening = listen(("127.0.0.1", 0), shared=False)
    async with asyncio.timeout(20), serving(echo, listening, grace_s=1):
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
