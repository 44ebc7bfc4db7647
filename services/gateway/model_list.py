"""GET /v1/models and /v1/models/{id}: what the account of a key can buy, out of the catalogue.

The dialect is the one that the request speaks: with a header `anthropic-version` the models that
can be had on `/v1/messages` are told as Anthropic tells them, else those of the OpenAI surfaces.
Nothing is held, and no upstream is asked.
"""

from typing import Any, Final, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from libs.events.ids import new_id
from services.gateway.errors import (
    HeaderList,
    Refusal,
    not_authenticated,
    openai_body,
    unknown_item,
)
from services.gateway.headers import header, json_headers, request_ids
from services.gateway.keys import AuthError, Headers, KeyInfo
from services.gateway.offers import Offers
from services.gateway.surfaces.anthropic_errors import anthropic_body

PATH: Final = "/v1/models"
_OWNER: Final = "farebox"
# The catalogue does not say since when a model exists; both dialects take their epoch for that.
_CREATED: Final = 0
_CREATED_AT: Final = "1970-01-01T00:00:00Z"


class Keys(Protocol):
    """Who is calling."""

    async def authenticate(self, headers: Headers) -> KeyInfo: ...


class ModelList:
    """An ASGI application for the two paths."""

    def __init__(self, keys: Keys, offers: Offers) -> None:
        self._keys = keys
        self._offers = offers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request_id = new_id("req")
        ids = request_ids(request_id)
        anthropic = header(scope["headers"], b"anthropic-version") is not None
        name = scope["path"][len(PATH) + 1 :]
        try:
            key = await self._authenticate(scope)
            names = self._offers.models(key, "anthropic" if anthropic else "openai")
            if name and name not in names:
                raise unknown_item(name)
        except Refusal as refusal:
            refusal.request_id = request_id
            body = anthropic_body(refusal) if anthropic else openai_body(refusal)
            await _send(send, refusal.status, body, (*refusal.headers, *ids))
            return
        tell = _anthropic_model if anthropic else _openai_model
        together = _anthropic_list if anthropic else _openai_list
        answer = tell(name) if name else together([tell(one) for one in names])
        await _send(send, 200, orjson.dumps(answer), ids)

    async def _authenticate(self, scope: Scope) -> KeyInfo:
        try:
            return await self._keys.authenticate(scope["headers"])
        except AuthError as error:
            raise not_authenticated(error) from error


def is_model_path(method: str, path: str) -> bool:
    return method == "GET" and (path == PATH or path.startswith(f"{PATH}/"))


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": _OWNER}


def _openai_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}


def _anthropic_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = (models[index]["id"] if models else None for index in (0, -1))
    return {"data": models, "has_more": False, "first_id": first, "last_id": last}


async def _send(send: Send, status: int, body: bytes, more: HeaderList) -> None:
    headers = (*json_headers(body), *more)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
