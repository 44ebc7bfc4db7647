"""Sends an answer the way its script says: late, split, cut off or not at all."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from aiohttp import web

from simulators.provider.calls import Call, Record
from simulators.provider.dialect import dialect_of
from simulators.provider.script import Script

# No lingering: close sends RST, which is what a crashed server looks like.
_NO_LINGER = struct.pack("ii", 1, 0)


Chunk = tuple[str | None, dict[str, Any] | str]
"""An event of a stream: its name, if it has one, and its data."""


class Cut(Exception):
    """The script ends the connection here."""


def cut(request: web.Request) -> None:
    """Reset the connection under the answer."""
    transport = request.transport
    if transport is None:
        return
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def before_first_byte(script: Script, record: Record) -> None:
    """Wait as the script says; raise Cut when no byte shall come."""
    if script.delay_ms:
        await asyncio.sleep(script.delay_ms / 1000)
    if script.hold:
        await record.released.wait()
    if script.reset:
        raise Cut


async def send_json(
    request: web.Request, script: Script, call: Call, body: dict[str, Any], status: int = 200
) -> web.StreamResponse:
    """Send one JSON body, in pieces or cut in half if the script says so."""
    raw = (json.dumps(body) if script.raw is None else script.raw).encode()
    headers = {"content-type": "application/json", "content-length": str(len(raw))}
    headers[dialect_of(request.path).id_header] = f"sim_{call.number}"
    if status >= 400 and script.retry_after is not None:
        headers["retry-after"] = script.retry_after
    response = web.StreamResponse(status=status, headers=headers)
    call.status = status
    await response.prepare(request)
    if script.die_after_chunks is not None:
        await response.write(raw[: len(raw) // 2])
        raise Cut
    for piece in _pieces(raw, script.split_bytes):
        await response.write(piece)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


async def refuse(
    request: web.Request, call: Call, status: int, message: str, script: Script | None = None
) -> web.StreamResponse:
    """Answer with an error in the shape of what was asked."""
    call.outcome = "refused" if status == 401 and script is None else "failed"
    body = dialect_of(request.path).error(status, message, f"sim_{call.number}")
    return await send_json(request, script or Script(), call, body, status)


async def send_stream(
    request: web.Request,
    script: Script,
    record: Record,
    call: Call,
    chunks: Iterable[Chunk],
    last: Chunk,
) -> web.StreamResponse:
    """Send one event stream; `call.chunks` counts the chunks that left whole, without `last`."""
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    headers[dialect_of(request.path).id_header] = f"sim_{call.number}"
    response = web.StreamResponse(headers=headers)
    call.status = 200
    await response.prepare(request)
    async for event in _events(script, record, call, chunks, last):
        for piece in _pieces(event, script.split_bytes):
            await response.write(piece)
            await asyncio.sleep(0)
    await response.write_eof()
    return response


async def _events(
    script: Script, record: Record, call: Call, chunks: Iterable[Chunk], last: Chunk
) -> AsyncIterator[bytes]:
    for index, chunk in enumerate(chunks):
        if script.hold_after_chunks == index:
            await record.released.wait()
        if script.die_after_chunks == index:
            raise Cut
        if index and script.gap_ms:
            await asyncio.sleep(script.gap_ms / 1000)
        yield _event(chunk, script)
        call.chunks = index + 1
    if script.done:
        yield _event(last, script)


def _event(chunk: Chunk, script: Script) -> bytes:
    name, data = chunk
    line = b"\r\n" if script.crlf else b"\n"
    head = b"" if name is None else b"event: " + name.encode() + line
    text = data if isinstance(data, str) else json.dumps(data)
    return head + b"data: " + text.encode() + line + line


def _pieces(raw: bytes, size: int | None) -> Iterator[bytes]:
    size = size or len(raw) or 1
    return (raw[start : start + size] for start in range(0, len(raw), size))
