"""HTTP connections that bound what a client may send before its request is understood.

The parser keeps request line, headers and trailers in memory until they are complete, and has no
limit of its own: without one, headers that never end fill the memory of a worker.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 64 * 1024
"""Bytes of request line and headers, or of trailers."""

_PIECE: Final = 16 * 1024
_TEXT: Final = b"The request's headers are larger than %d bytes." % HEAD_MAX
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%s" % (len(_TEXT), _TEXT)
)


class BoundedConnection(HttpToolsProtocol):
    """A connection that ends with a 431 when a head does not end."""

    transport: asyncio.Transport
    _since = 0
    """Bytes since the last that ended a head or a request, or belonged to a body."""

    def data_received(self, data: bytes) -> None:
        # In pieces, so that a head is counted apart from the body that came along with it.
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self._since += len(piece)
            super().data_received(piece)
            if self._since > HEAD_MAX:
                self._refuse()

    def on_headers_complete(self) -> None:
        self._since = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._since = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._since = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_ANSWER)
        # Else another request on this connection is being answered: there is no place for words.
        self.transport.close()
