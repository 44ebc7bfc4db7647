"""The provider's surfaces in the OpenAI dialect, each by its path."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from aiohttp import web

from simulators.provider.answer import Answer, compose
from simulators.provider.calls import RECORD, Call
from simulators.provider.delivery import Chunk, refuse, send_json, send_stream
from simulators.provider.dialect import OPENAI
from simulators.provider.embeddings import compose_embeddings
from simulators.provider.images import compose_images
from simulators.provider.responses import compose_response
from simulators.provider.script import Script
from simulators.provider.texts import compose_text


async def chat(request: web.Request, script: Script, call: Call, _raw: bytes) -> web.StreamResponse:
    asked = call.body
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        return await refuse(request, call, 400, "messages is required")
    if asked.get("n") not in (None, 1):
        return await refuse(request, call, 400, "only n = 1 is served")
    answer = compose(call.number, asked, script)
    return await answered(request, script, call, answer, (None, "[DONE]"))


async def completions(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    if (asked := _asked(call, "prompt")) is None:
        return await refuse(request, call, 400, "prompt is required")
    answer = compose_text(call.number, asked, script)
    return await answered(request, script, call, answer, (None, "[DONE]"))


async def responses(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    if (asked := _asked(call, "input")) is None:
        return await refuse(request, call, 400, "input is required")
    answer = compose_response(call.number, asked, script)
    return await answered(request, script, call, answer, answer.last(script.usage))


async def answered(
    request: web.Request, script: Script, call: Call, answer: Answer, last: Chunk
) -> web.StreamResponse:
    """Send an answer whole or as a stream with this last event, as the request asks."""
    call.usage = answer.usage
    if not call.body.get("stream"):
        return await send_json(request, script, call, answer.body(script.usage))
    options = call.body.get("stream_options") or {}
    asked = bool(options.get("include_usage"))
    chunks: Iterable[Chunk] = answer.chunks(script.usage, asked=asked)
    if script.error_after_chunks is not None:
        chunks = islice(chunks, script.error_after_chunks)
        last = answer.failure(OPENAI.error(500, "The provider failed", ""))
    return await send_stream(request, script, request.app[RECORD], call, chunks, last)


async def embeddings(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    return await _whole(request, script, call, "input", compose_embeddings)


async def images(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    return await _whole(request, script, call, "prompt", compose_images)


async def _whole(
    request: web.Request,
    script: Script,
    call: Call,
    needed: str,
    compose: Callable[[dict[str, Any], Script], dict[str, Any]],
) -> web.StreamResponse:
    if (asked := _asked(call, needed)) is None:
        return await refuse(request, call, 400, f"{needed} is required")
    body = compose(asked, script)
    call.usage = body.get("usage")
    return await send_json(request, script, call, body)


def _asked(call: Call, needed: str) -> dict[str, Any] | None:
    return call.body if isinstance(call.body, dict) and call.body.get(needed) else None


SURFACES = {
    "/v1/chat/completions": chat,
    "/v1/completions": completions,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/v1/images/generations": images,
}
