"""What stands between the pump, which owns the upstream, and the task that serves the client."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from starlette.types import Receive, Send

from services.gateway.errors import HeaderList, Refusal
from services.gateway.headers import json_headers, request_ids
from services.gateway.limits.rate import Standing
from services.gateway.pieces import Pieces

_STREAM_HEADERS: Final[HeaderList] = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_BODILESS: Final = frozenset({204, 304})


class ErrorShape(Protocol):
    """How a surface tells a refusal, and how fast its clients may ask."""

    def error_body(self, refusal: Refusal) -> bytes: ...

    def error_event(self, refusal: Refusal) -> bytes: ...

    def status_of(self, refusal: Refusal) -> int:
        """The HTTP status; a dialect may have one of its own for what it is about."""
        ...

    def rate_headers(self, standing: Standing, now: Callable[[], datetime]) -> HeaderList: ...


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer, without the request's ids; without a body, events follow."""

    status: int
    headers: HeaderList
    body: bytes | None


class Exchange:
    """One answer on its way to one client: whole, or as pieces of which only so many wait.

    The pump writes, the request task relays. When the client goes, the pump is told and goes on.
    """

    def __init__(self, request_id: str, shape: ErrorShape, *, stall_s: float) -> None:
        self.request_id = request_id
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self._also: HeaderList = ()
        self._shape = shape
        self._stall_s = stall_s
        self._head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._pieces = Pieces()

    # The pump's side.

    @property
    def started(self) -> bool:
        return self._head.done()

    @property
    def head(self) -> Head | None:
        """What was told so far."""
        return self._head.result() if self._head.done() else None

    @property
    def full(self) -> bool:
        """Whether the next piece has to wait for the client."""
        return self._pieces.full and not self.gone

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client."""
        return self._pieces.size

    def also(self, headers: HeaderList) -> None:
        """Send these with the answer, whatever it will be."""
        self._also = (*self._also, *headers)

    def answer(self, status: int, headers: HeaderList, body: bytes) -> None:
        """Give the whole answer."""
        if status not in _BODILESS:
            headers = (*headers, (b"content-length", b"%d" % len(body)))
        self._begin(Head(status, headers, body))

    def repeat(self, head: Head) -> None:
        """Give a whole answer that was given before."""
        self._begin(head)

    def begin(self, status: int, headers: HeaderList) -> None:
        """Begin a stream; pieces follow."""
        self._begin(Head(status, (*headers, *_STREAM_HEADERS), None))

    def add(self, piece: bytes) -> None:
        """Hand over a piece, where it is not full."""
        if piece and not self.gone:
            self._pieces.add(piece)

    async def put(self, piece: bytes) -> None:
        """Hand over a piece; wait while it is full. A client that stalls counts as gone."""
        if self.full:
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._pieces.room()
            except TimeoutError:
                self.leave()
        self.add(piece)

    def end(self) -> None:
        """End the stream."""
        self._pieces.end()

    async def refuse(self, refusal: Refusal, headers: HeaderList = ()) -> None:
        """Tell the client a refusal: as the answer, or as an event where a stream has begun."""
        refusal.request_id = self.request_id
        if self.started:
            await self.put(self._shape.error_event(refusal))
            self.end()
            return
        body = self._shape.error_body(refusal)
        all_headers = (*json_headers(body), *refusal.headers, *headers)
        self._begin(Head(self._shape.status_of(refusal), all_headers, body))

    def abort(self, refusal: Refusal) -> None:
        """End at once: tell the refusal if nothing was told yet, else break the stream off."""
        if self.started:
            self.leave()
            return
        refusal.request_id = self.request_id
        body = self._shape.error_body(refusal)
        status = self._shape.status_of(refusal)
        self._begin(Head(status, json_headers(body), body))

    def _begin(self, head: Head) -> None:
        if not self._head.done():
            self._head.set_result(head)

    # The client's side.

    def leave(self) -> None:
        """The client is gone: let go of what waits for it, and tell the pump."""
        if self.gone:
            return
        self.gone = True
        self._pieces.clear()
        self._pieces.end()
        if self.on_gone is not None:
            self.on_gone()

    async def relay(self, receive: Receive, send: Send, *, watch: bool) -> None:
        """Serve the client until the answer ends; `watch` notices it going meanwhile."""
        watcher = asyncio.create_task(self._watch(receive)) if watch else None
        try:
            head = await asyncio.shield(self._head)
            headers = (*head.headers, *request_ids(self.request_id), *self._also)
            await send({"type": "http.response.start", "status": head.status, "headers": headers})
            if head.body is not None:
                await send({"type": "http.response.body", "body": head.body})
                return
            while (piece := await self._pieces.take()) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.leave()
