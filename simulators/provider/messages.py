"""The provider's Anthropic-shaped endpoints."""

from collections.abc import Iterable
from itertools import islice

from aiohttp import web

from simulators.provider.calls import RECORD, Call
from simulators.provider.delivery import Chunk, refuse, send_json, send_stream
from simulators.provider.message import compose_message, counted, error_event
from simulators.provider.script import Script


async def messages(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    asked = call.body
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        return await refuse(request, call, 400, "messages: Field required")
    if not isinstance(asked.get("max_tokens"), int):
        return await refuse(request, call, 400, "max_tokens: Field required")
    if "anthropic-version" not in request.headers:
        return await refuse(request, call, 400, "anthropic-version: header is required")
    message = compose_message(call.number, asked, script)
    call.usage = message.usage
    if not asked.get("stream"):
        return await send_json(request, script, call, message.body(script.usage))
    chunks: Iterable[Chunk] = message.chunks(script.usage)
    last: Chunk = ("message_stop", {"type": "message_stop"})
    if script.error_after_chunks is not None:
        chunks = islice(chunks, script.error_after_chunks)
        last = error_event("Overloaded", f"sim_{call.number}")
    return await send_stream(request, script, request.app[RECORD], call, chunks, last)


async def count_tokens(
    request: web.Request, script: Script, call: Call, _raw: bytes
) -> web.StreamResponse:
    if not isinstance(call.body, dict) or not isinstance(call.body.get("messages"), list):
        return await refuse(request, call, 400, "messages: Field required")
    body = {"input_tokens": counted(call.body, script)}
    return await send_json(request, script, call, body)
