"""The gateway's ASGI application without sockets: clients and upstreams are objects of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import orjson

from libs.catalogue import Catalogue, Upstream
from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from services.gateway import app
from services.gateway.app import Worker, open_worker
from services.gateway.context import Gateway
from services.gateway.failures import broken_off
from services.gateway.keys import KeyDirectory
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams import Upstreams
from tests.support.gateway import GatewayLedger

BROKEN = aiohttp.ClientPayloadError("the upstream broke off")


@dataclass
class Scripted:
    """One answer of an upstream; `pieces` are what single reads give, an exception breaks it off.

    `pace` is waited for before each piece.
    """

    pieces: Sequence[bytes | BaseException]
    status: int = 200
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"content-type": "text/event-stream"}
    )
    pace: Callable[[], Awaitable[None]] | None = None
    closed: bool = False

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/octet-stream")

    @property
    def content(self) -> Self:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await (asyncio.sleep(0) if self.pace is None else self.pace())
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed = True


class ScriptedUpstreams(Upstreams):
    """Upstreams that answer what `script` gives for each call; None: no connection."""

    script: Callable[[], Scripted | None]
    calls = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, upstream: Upstream, *_: Any, **__: Any) -> aiohttp.ClientResponse:
        del upstream
        self.calls += 1
        await asyncio.sleep(0)
        answer = self.script()
        if answer is None:
            raise broken_off()
        return cast("aiohttp.ClientResponse", answer)


@dataclass
class Client:
    """The other side of ASGI; it goes when it was sent `leaves` bodies (0: before any byte)."""

    body: bytes
    leaves: int | None = None
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever it was sent something, or goes."""
    _asked: bool = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        if self.leaves == 0:
            self._leave()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.left.is_set():
            return  # as servers do: it goes nowhere
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        if message.get("body"):
            self.bodies.append(message["body"])
            self.moved.set()
        if self.leaves is not None and len(self.bodies) >= self.leaves:
            self._leave()

    def _leave(self) -> None:
        self.left.set()
        self.moved.set()

    @property
    def text(self) -> bytes:
        return b"".join(self.bodies)


@dataclass
class RawGateway:
    """A worker without a server."""

    worker: Worker
    ledger: GatewayLedger
    upstreams: ScriptedUpstreams

    async def ask(
        self,
        client: Client,
        key: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        path: str = "/v1/chat/completions",
    ) -> Client:
        """Let a client ask; returns when its answer is over and everything is closed."""
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {key}".encode()), *headers],
        }
        await self.worker.root(scope, cast("Any", client.receive), client.send)
        await self.worker.pumps.drain(10)
        return client


@contextlib.asynccontextmanager
async def raw_gateway(
    folder: Path, catalogue: Catalogue, **settings: Any
) -> AsyncIterator[RawGateway]:
    """A worker on an empty ledger whose upstreams are scripted."""
    ledger = GatewayLedger()
    made: list[ScriptedUpstreams] = []

    def scripted(*args: Any, **options: Any) -> ScriptedUpstreams:
        made.append(ScriptedUpstreams(*args, **options))
        return made[-1]

    gateway = Gateway(
        settings=GatewaySettings(data_dir=folder, journal_min_free=0, **settings),
        catalogue=catalogue,
        ledger=cast("Any", ledger),
        keys=KeyDirectory(ledger, partitions=4),
        nc=cast("Any", None),
        clock=SystemClock(),
        health=Health(),
    )
    before, app.Upstreams = app.Upstreams, scripted  # type: ignore[assignment, misc]
    try:
        async with open_worker(gateway, {}) as worker:
            worker.paid.open = True
            yield RawGateway(worker, ledger, made[0])
    finally:
        app.Upstreams = before  # type: ignore[misc]


def event(chunk: object, end: bytes = b"\n\n") -> bytes:
    return b"data: " + orjson.dumps(chunk) + end


def said(text: str | None, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more})


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
REPORT = event({"choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"
