"""The gateway as a raw ASGI application: the hot paths by table, everything else beside them."""

import logging
from functools import partial
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.catalogue import Catalogue
from libs.events.ids import new_id
from libs.runtime.health import Health
from services.gateway.errors import HeaderList, openai_body, unknown_path
from services.gateway.headers import json_headers, request_ids
from services.gateway.model_list import is_model_path
from services.gateway.operations import places
from services.gateway.paid import PaidRequests
from services.gateway.surfaces.anthropic_counting import AnthropicCounting
from services.gateway.surfaces.anthropic_errors import anthropic_body
from services.gateway.surfaces.anthropic_messages import AnthropicMessages
from services.gateway.surfaces.openai_chat import OpenAIChat
from services.gateway.surfaces.openai_completions import OpenAICompletions
from services.gateway.surfaces.openai_embeddings import OpenAIEmbeddings
from services.gateway.surfaces.openai_images import OpenAIImages
from services.gateway.surfaces.openai_responses import OpenAIResponses
from services.gateway.surfaces.protocol import Surface
from services.gateway.templates import Templates

log = logging.getLogger(__name__)

SURFACES: Final[tuple[Surface, ...]] = (
    OpenAIChat(),
    OpenAICompletions(),
    OpenAIResponses(),
    OpenAIEmbeddings(),
    OpenAIImages(),
    AnthropicMessages(),
)
_ANTHROPIC: Final = "/v1/messages"
BILLING: Final = "/billing/v1/"


class Root:
    """Chooses by method and path."""

    def __init__(
        self,
        catalogue: Catalogue,
        paid: PaidRequests,
        models: ASGIApp,
        billing: ASGIApp,
        health: Health,
    ) -> None:
        self._models = models
        self._billing = billing
        self._health = health
        self._hot: dict[tuple[str, str], ASGIApp] = {
            ("POST", surface.path): partial(paid.model, surface) for surface in SURFACES
        }
        counting = AnthropicCounting()
        self._hot["POST", counting.path] = partial(paid.count, counting)
        for place, operation in places(catalogue).items():
            self._hot.setdefault(place, partial(paid.operation, operation))
        self._paid = paid
        self._templates = Templates(catalogue.operations.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        handler = self._hot.get((scope["method"], path))
        if handler is not None:
            await handler(scope, receive, send)
        elif is_model_path(scope["method"], path):
            await self._models(scope, receive, send)
        elif path.startswith(BILLING):
            await self._billing(scope, receive, send)
        elif path == "/health/live":
            await _send_json(send, 200, orjson.dumps({"live": True}))
        elif path == "/health/ready":
            problems = self._health.problems()
            body = orjson.dumps({"ready": not problems, "problems": problems})
            await _send_json(send, 503 if problems else 200, body)
        elif found := self._templates.find(scope["method"], scope["raw_path"]):
            await self._paid.operation(
                found.operation, scope, receive, send, upstream_path=found.upstream_path
            )
        else:
            await _send_unknown(path, send)


async def _send_unknown(path: str, send: Send) -> None:
    refusal = unknown_path()
    refusal.request_id = new_id("req")
    shape = anthropic_body if path.startswith(_ANTHROPIC) else openai_body
    await _send_json(send, 404, shape(refusal), request_ids(refusal.request_id))


async def _send_json(send: Send, status: int, body: bytes, more: HeaderList = ()) -> None:
    headers = (*json_headers(body), *more)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
