"""A model provider of both shapes, and one plain endpoint, for tests and demos.

OpenAI's: `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses` (JSON and event stream),
`/v1/embeddings`, `/v1/images/generations`, `GET /v1/models`; and `POST /score`, and any method on
`/items/{id}/score`, whose paths have parts of their own.
Anthropic's: `POST /v1/messages` (JSON and event stream), `POST /v1/messages/count_tokens`. All need
the provider's own key. `/control/*` tells what was asked and scripts what comes next.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulators.provider import control
from simulators.provider.calls import RECORD, Call, Record
from simulators.provider.delivery import (
    Cut,
    before_first_byte,
    cut,
    refuse,
    send_json,
)
from simulators.provider.dialect import dialect_of
from simulators.provider.messages import count_tokens, messages
from simulators.provider.script import Script, script_of
from simulators.provider.surfaces import SURFACES

DEFAULT_KEY = "sk-provider-simulator"
MODELS = ("swift-1", "swift-1-b", "grand-1")
_KEY = web.AppKey("key", str)
_BODY_MAX = 64 * 1024 * 1024

Handler = Callable[[web.Request, Script, Call, bytes], Awaitable[web.StreamResponse]]


def make_app(key: str = DEFAULT_KEY) -> web.Application:
    """Return the provider; `app[RECORD]` is what `/control` shows."""
    app = web.Application(client_max_size=_BODY_MAX)
    app[RECORD] = Record()
    app[_KEY] = key
    app.router.add_post("/v1/messages", _scripted(messages))
    app.router.add_post("/v1/messages/count_tokens", _scripted(count_tokens))
    for path, serve in SURFACES.items():
        app.router.add_post(path, _scripted(serve))
    app.router.add_post("/score", _scripted(_score))
    app.router.add_route("*", "/items/{id}/score", _scripted(_item))
    app.router.add_get("/v1/models", _scripted(_models))
    control.add_routes(app, app[RECORD])
    return app


def _scripted(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        record = request.app[RECORD]
        raw = await request.read()
        call = _note(record, request, raw)
        if not dialect_of(request.path).admits(request.headers, request.app[_KEY]):
            return await refuse(request, call, 401, "Incorrect API key provided")
        try:
            script = record.take(request.path, raw) or script_of(request.headers, raw)
        except ValueError as error:
            return await refuse(request, call, 400, f"script not understood: {error}")
        try:
            await before_first_byte(script, record)
            if script.status >= 400:
                message = "The provider was told to fail"
                return await refuse(request, call, script.status, message, script)
            response = await handler(request, script, call, raw)
        except Cut:
            call.outcome = "died" if call.status else "reset"
            cut(request)
            raise
        except ConnectionError:
            call.outcome = "client_gone"
            raise
        call.outcome = "complete" if call.outcome == "open" else call.outcome
        return response

    return _quiet(handle)


def _quiet(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Keep an intended break of the connection out of the server's error log."""

    async def quiet(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except (Cut, ConnectionError):
            return web.Response()  # the transport is gone: nobody sees this

    return quiet


def _note(record: Record, request: web.Request, raw: bytes) -> Call:
    try:
        body: Any = json.loads(raw) if raw else None
    except ValueError:
        body = raw.decode(errors="replace")
    headers = {name.lower(): value for name, value in request.headers.items()}
    number = len(record.calls) + 1
    call = Call(number, request.method, request.path, headers.get("authorization"), headers, body)
    record.calls.append(call)
    return call


async def _item(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    """Tell which item it was; the raw path shows how its name was written."""
    body = {"id": request.match_info["id"], "path": request.raw_path}
    return await send_json(request, script, call, body)


async def _score(
    request: web.Request, script: Script, call: Call, raw: bytes
) -> web.StreamResponse:
    """Score an image: any non-empty `image` text; an empty or missing one cannot be read."""
    if not isinstance(call.body, dict) or not call.body.get("image"):
        return await refuse(request, call, 422, "The image cannot be read")
    percent = hashlib.sha256(raw).digest()[0] * 100 // 255
    return await send_json(request, script, call, {"score": percent, "of": 100})


async def _models(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    models = [
        {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "simulator"}
        for name in MODELS
    ]
    return await send_json(request, script, call, {"object": "list", "data": models})


@dataclass(frozen=True)
class RunningProvider:
    """A provider that listens; `record` is its memory."""

    url: str
    port: int
    key: str
    record: Record


@asynccontextmanager
async def running_provider(
    key: str = DEFAULT_KEY, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RunningProvider]:
    """Serve a provider in this event loop; port 0 takes a free one."""
    app = make_app(key)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        yield RunningProvider(f"http://{host}:{bound}", bound, key, app[RECORD])
    finally:
        app[RECORD].reset()
        await runner.cleanup()
