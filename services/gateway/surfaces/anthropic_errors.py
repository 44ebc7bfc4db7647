"""Refusals as the official Anthropic SDKs read them."""

from typing import Any, Final

import orjson

from services.gateway.errors import Refusal

_KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def anthropic_body(refusal: Refusal) -> bytes:
    """The refusal as a whole answer; its code and what it knows are in `error.details`."""
    details: dict[str, Any] = {"error_code": refusal.code}
    if refusal.param is not None:
        details["param"] = refusal.param
    extra = dict(refusal.extra)
    details |= extra.pop("details", {})
    error = {"type": _kind(refusal), "message": refusal.message, "details": details} | extra
    body = {"type": "error", "error": error, "request_id": refusal.request_id}
    return orjson.dumps(body)


def anthropic_event(refusal: Refusal) -> bytes:
    """The refusal in the middle of a stream: the SDKs raise it as an error."""
    return b"event: error\ndata: " + anthropic_body(refusal) + b"\n\n"


def anthropic_status(refusal: Refusal) -> int:
    """Anthropic has a status of its own for what is overloaded."""
    return 529 if refusal.code == "upstream_overloaded" else refusal.status


def _kind(refusal: Refusal) -> str:
    default = "api_error" if refusal.status >= 500 else "invalid_request_error"
    return _KINDS.get(anthropic_status(refusal), default)
