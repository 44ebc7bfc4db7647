"""The body of a request, within its limits."""

import asyncio

from starlette.types import Receive

from services.gateway.errors import Refusal, too_large
from services.gateway.headers import header
from services.gateway.keys import Headers


class ClientGoneError(Exception):
    """The client went while it was still asking: there is nobody to answer."""


async def read_body(headers: Headers, receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        Refusal: 413 larger than `limit` bytes, 415 an encoding we do not read, 408 too slow.
        ClientGoneError: the client closed the connection.
    """
    encoding = header(headers, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        message = "Compressed request bodies are not read here; send it plain."
        raise Refusal(415, "unsupported_encoding", message)
    length = header(headers, b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise too_large(limit)
    try:
        async with asyncio.timeout(timeout_s):  # of the first byte too
            return await _all(receive, limit)
    except TimeoutError:
        raise Refusal(408, "request_timeout", "The request body came too slowly.") from None


async def _all(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)
