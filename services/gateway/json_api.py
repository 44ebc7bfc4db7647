"""What stands before a JSON API: who is calling, and how large the request may be.

FastAPI reads a body before it asks who sent it; here the caller is known first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problems import (
    ALWAYS,
    Problem,
    ProblemBody,
    answer_problems,
    problem_of,
    problems,
)

CALLER: Final = "farebox.caller"
BODY_MAX: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 30.0

Authorize = Callable[[Scope], Awaitable[object]]


def json_api(title: str, prefix: str, description: str) -> FastAPI:
    """An application whose errors are problems and whose description is at `prefix`."""
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    answer_problems(app)
    return app


def describe(app: FastAPI, *, always: Iterable[int] = ALWAYS) -> None:
    """Say in the description what every operation may answer, and how failures look.

    `always`: statuses of every operation, in addition to those that its parts make possible. It is
    made when it is first asked for: a process that starts has better to do.
    """
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain(), always)
        return plain()

    app.openapi = described  # type: ignore[method-assign]


def _complete(schema: dict[str, Any], always: Iterable[int]) -> None:
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    schema["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"bearer": []}]
    components["ProblemBody"] = ProblemBody.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            declared = operation["responses"]
            declared.pop("422", None)  # FastAPI's own, which is never sent
            found = problems(*always, *_possible(path, method, operation))
            operation["responses"] = declared | {
                str(status): found[status]
                for status in sorted(found)
                if str(status) not in declared
            }


def _possible(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """The failures that the form of an operation makes possible."""
    if "parameters" in operation or "requestBody" in operation:
        yield from (400, 422)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409


class Door:
    """Lets a request in when its caller is known and its body is small.

    `authorize` returns the caller, who is then `scope[CALLER]`, or raises; requests for
    `open_paths` need none. `larger` are paths with a limit of their own, in bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        authorize: Authorize,
        *,
        open_paths: frozenset[str] = frozenset(),
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._authorize = authorize
        self._open_paths = open_paths
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if scope["path"] not in self._open_paths:
                scope[CALLER] = await self._authorize(scope)
            body = await _read(scope, receive, self._larger.get(scope["path"], BODY_MAX))
        except Exception as error:  # noqa: BLE001 - every failure is answered
            await problem_of(error).response()(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None when the client has gone."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while more:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise _too_large(limit)
                more = message.get("more_body", False)
    except TimeoutError:
        raise Problem(408, "request_timeout", "The request body did not arrive.") from None
    return b"".join(parts)


def _too_large(limit: int) -> Problem:
    detail = f"The request body is larger than {limit} bytes."
    return Problem(413, "request_too_large", detail, headers={"connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
