"""The provider's other surfaces in the OpenAI dialect, each by its path."""

from typing import Any

from aiohttp import web

from simulators.provider.answer import Answer
from simulators.provider.calls import Call, Record, Unfit
from simulators.provider.delivery import send_json, send_stream
from simulators.provider.embeddings import compose_embeddings
from simulators.provider.images import compose_images
from simulators.provider.responses import compose_response
from simulators.provider.script import Script
from simulators.provider.texts import compose_text


async def completions(
    request: web.Request, script: Script, record: Record, call: Call
) -> web.StreamResponse:
    asked = _asked(call, "prompt")
    return await _send(request, script, record, call, compose_text(call.number, asked, script))


async def responses(
    request: web.Request, script: Script, record: Record, call: Call
) -> web.StreamResponse:
    asked = _asked(call, "input")
    return await _send(request, script, record, call, compose_response(call.number, asked, script))


async def embeddings(
    request: web.Request, script: Script, _record: Record, call: Call
) -> web.StreamResponse:
    return await _send_whole(
        request, script, call, compose_embeddings(_asked(call, "input"), script)
    )


async def images(
    request: web.Request, script: Script, _record: Record, call: Call
) -> web.StreamResponse:
    return await _send_whole(request, script, call, compose_images(_asked(call, "prompt"), script))


SURFACES = {
    "/v1/completions": completions,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/v1/images/generations": images,
}


def _asked(call: Call, needed: str) -> dict[str, Any]:
    if not isinstance(call.body, dict) or not call.body.get(needed):
        raise Unfit(f"{needed} is required")
    return call.body


async def _send(
    request: web.Request, script: Script, record: Record, call: Call, answer: Answer
) -> web.StreamResponse:
    call.usage = answer.usage
    if call.body.get("stream"):
        options = call.body.get("stream_options") or {}
        asked = bool(options.get("include_usage"))
        return await send_stream(
            request, script, record, call, answer.chunks(script.usage, asked=asked), answer.last
        )
    return await send_json(request, script, call, answer.body(script.usage))


async def _send_whole(
    request: web.Request, script: Script, call: Call, body: dict[str, Any]
) -> web.StreamResponse:
    call.usage = body.get("usage")
    return await send_json(request, script, call, body)
