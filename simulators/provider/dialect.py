"""The two shapes a provider may have: how it is shown a key, and how it tells of an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Dialect:
    """`credential` is the header of the key and what stands before it there."""

    credential: tuple[str, str]
    id_header: str
    error: Callable[[int, str, str], dict[str, Any]]

    def admits(self, headers: Mapping[str, str], key: str) -> bool:
        name, before = self.credential
        return headers.get(name) == before + key


def _openai_error(status: int, message: str, _request: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    code = "invalid_api_key" if status == 401 else "provider_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic_error(status: int, message: str, request: str) -> dict[str, Any]:
    kind = _ANTHROPIC_KINDS.get(status) or "api_error"
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": request}


OPENAI = Dialect(("authorization", "Bearer "), "x-request-id", _openai_error)
ANTHROPIC = Dialect(("x-api-key", ""), "request-id", _anthropic_error)


def dialect_of(path: str) -> Dialect:
    return ANTHROPIC if path.startswith("/v1/messages") else OPENAI
