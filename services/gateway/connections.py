"""HTTP connections that bound what a client may send, and how long it may take (LIM-2).

The parser keeps request line, headers and trailers in memory until they are complete, and has no
limit of its own: without one, headers that never end fill the memory of a worker. Nor has the
server a limit of time for a head, for a body that nobody reads, or for an answer not taken.
"""

import asyncio
import math
from http import HTTPStatus
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 64 * 1024
"""Bytes of request line and headers, or of trailers."""

_PIECE: Final = 16 * 1024


def _answer(status: HTTPStatus, text: str) -> bytes:
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}"
    ).encode()


_TOO_LARGE: Final = _answer(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The request's headers are larger than {HEAD_MAX} bytes.",
)
_TOO_SLOW: Final = _answer(HTTPStatus.REQUEST_TIMEOUT, "The request's headers came too slowly.")


class BoundedConnection(HttpToolsProtocol):
    """A connection that ends with a 431 or 408 when a head does not end.

    It also ends when a body goes on after its answer, and when nothing of an answer is taken.
    """

    transport: asyncio.Transport
    head_s: ClassVar[float] = 30.0
    """From the first byte of a head, or from the connection, to the end of the head."""
    linger_s: ClassVar[float] = 10.0
    """How long a body may go on that was answered before it ended."""
    stall_s: ClassVar[float] = 120.0
    """How long a client may take nothing of what waits for it."""

    _since = 0
    """Bytes since the last that ended a head or a request, or belonged to a body."""
    _in_head = False
    _head: asyncio.TimerHandle | None = None
    _linger: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _unsent = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._linger, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # In pieces, so that a head is counted apart from the body that came along with it.
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self._since += len(piece)
            super().data_received(piece)
            if self._since > HEAD_MAX:
                self._refuse(_TOO_LARGE)
        if self._head is None and (self._in_head or self._idle):
            self._await_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._since = 0
        self._in_head = False
        if self._head is not None:
            self._head.cancel()
            self._head = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._since = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._since = 0
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._linger = self.loop.call_later(self.linger_s, self.transport.close)

    def timeout_keep_alive_handler(self) -> None:
        self._watch_writes()
        super().timeout_keep_alive_handler()

    # A head that does not come.

    @property
    def _idle(self) -> bool:
        """Whether the last request is over; blank lines before the next are no head yet."""
        cycle = self.cycle
        return cycle is not None and cycle.response_complete and self._linger is None

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self.head_s, self._late)

    def _late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # the next request can wait for the answer to this one
        elif self._in_head:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        # Else another request on this connection is being answered: there is no place for words.
        self.transport.close()

    # An answer that is not taken.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writes()

    def resume_writing(self) -> None:
        self._unsent = math.inf  # something was taken
        super().resume_writing()

    def _watch_writes(self) -> None:
        if self._stall is None:
            self._unsent = self.transport.get_write_buffer_size() or math.inf
            self._stall = self.loop.call_later(self.stall_s, self._look_at_writes)

    def _look_at_writes(self) -> None:
        self._stall = None
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent >= self._unsent:
            self.transport.abort()
        elif unsent:
            self._watch_writes()


def bounded(stall_s: float) -> type[BoundedConnection]:
    """Connections that give a client so long to take something of its answer."""
    return type("Connection", (BoundedConnection,), {"stall_s": stall_s})
