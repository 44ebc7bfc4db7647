"""Refusals and failures, and the OpenAI shape they are told in.

A `Refusal` is what the client gets instead of an answer; whoever raises it knows that nothing was
charged. A surface may tell it in its own shape.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from libs.events.money import decimal_text
from services.gateway.keys import AuthError

HeaderList = tuple[tuple[bytes, bytes], ...]

INSUFFICIENT: Final = "insufficient_prepaid_balance"
NO_RETRY: Final[HeaderList] = ((b"x-should-retry", b"false"),)
RETRY_SOON: Final[HeaderList] = ((b"retry-after", b"1"), (b"x-should-retry", b"true"))
RETRY_LATER: Final[HeaderList] = ((b"retry-after", b"2"),)
_KINDS: Final = {402: INSUFFICIENT, 403: "permission_error", 429: "requests"}


class Refusal(Exception):
    """What a client is told instead of an answer.

    `param` names the field that is wrong; `extra` is merged into the error object.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: HeaderList = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers
        self.extra = extra or {}
        self.request_id = ""
        """The request that is refused; set where it is told."""

    @property
    def kind(self) -> str:
        """The `type` of an OpenAI error."""
        if self.status >= 500:
            return "server_error"
        return _KINDS.get(self.status, "invalid_request_error")


def openai_error(refusal: Refusal) -> dict[str, Any]:
    """The error object that the official OpenAI SDKs read."""
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": refusal.kind,
        "param": refusal.param,
        "code": refusal.code,
    }
    return error | dict(refusal.extra)


def plain_status(refusal: Refusal) -> int:
    """Where a dialect has no status of its own."""
    return refusal.status


def openai_body(refusal: Refusal) -> bytes:
    """The refusal as a whole answer."""
    return orjson.dumps({"error": openai_error(refusal)})


def openai_event(refusal: Refusal) -> bytes:
    """The refusal in the middle of a stream: the SDKs raise it as an error."""
    return b"data: " + openai_body(refusal) + b"\n\n"


def response_event(refusal: Refusal) -> bytes:
    """The refusal in the middle of a stream of a response, whose events have names.

    By `error` the SDKs raise it; without that some would hand it on like any other event.
    """
    event = {
        "type": "error",
        "code": refusal.code,
        "message": refusal.message,
        "param": refusal.param,
        "sequence_number": 0,
        "error": openai_error(refusal),
    }
    return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def not_authenticated(error: AuthError) -> Refusal:
    headers = RETRY_LATER if error.status >= 500 else ()
    return Refusal(error.status, error.code, error.message, headers=headers)


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    return Refusal(400, code, message, param=param)


def unsupported(param: str, why: str) -> Refusal:
    """A field that changes the price in a way that cannot be bounded (PRC-7)."""
    return Refusal(
        400, "unsupported_parameter", f"Unsupported parameter: '{param}'. {why}", param=param
    )


def unknown_item(name: str) -> Refusal:
    """Not in the catalogue, or not sold by the account's plan."""
    message = (
        f"The model or operation '{name[:128]}' does not exist or is not sold to this account."
    )
    return Refusal(404, "model_not_found", message, param="model")


def unknown_path() -> Refusal:
    return Refusal(404, "not_found", "There is nothing at this path.")


def too_large(limit: int) -> Refusal:
    return Refusal(413, "request_too_large", f"The request body is larger than {limit} bytes.")


def ledger_unavailable() -> Refusal:
    message = "The ledger does not answer; nothing was executed or charged. Try again."
    return Refusal(503, "ledger_unavailable", message, headers=RETRY_LATER)


def not_for_sale() -> Refusal:
    message = (
        "The prices of this gateway are not in force; nothing was executed or charged. "
        "Operator: publish them with `farebox catalogue publish`."
    )
    return Refusal(503, "unknown_catalogue", message, headers=RETRY_LATER)


def upstream_failed(status: int, code: str, message: str, headers: HeaderList = ()) -> Refusal:
    return Refusal(status, code, f"{message} Nothing was charged.", headers=headers)


def internal() -> Refusal:
    return Refusal(500, "internal_error", "The gateway failed; nothing was charged.")


def insufficient(
    declined: Mapping[str, Any],
    unit: str,
    top_up_url: str,
    affordable: Callable[[int], int] | None = None,
) -> Refusal:
    """The 402 of a Reserve that was declined for want of credits (RSV-9).

    `declined` is the data of the reply: amounts are nanos, as numbers or digit strings.
    `affordable` tells the output cap that the available credits would pay for.
    """
    texts = {
        name: decimal_text(int(declined[name] or 0), unit)
        for name in ("total", "reserved", "available", "required")
    }
    source = declined.get("limit_source") or "balance"
    message = (
        f"Insufficient prepaid balance. This request needs {texts['required']} {unit}; "
        f"{texts['available']} {unit} is available. Top up: {top_up_url}"
    )
    extra: dict[str, Any] = {}
    if unit == "USD":
        # Decimal texts written as JSON numbers: no float comes near them.
        for name, field in (
            ("balance", "total"),
            ("reserved", "reserved"),
            ("required", "required"),
        ):
            extra[f"{name}_usd"] = orjson.Fragment(texts[field])
    details: dict[str, Any] = {"currency": unit, **texts, "limit_source": source}
    details["top_up_url"] = top_up_url
    if affordable is not None and source in {"balance", "in_flight"}:
        # A spending limit leaves less than is available; how much is not told here.
        details["max_affordable_output_tokens"] = affordable(int(declined["available"] or 0))
    headers = RETRY_SOON if source == "in_flight" else NO_RETRY
    extra["details"] = details
    return Refusal(402, INSUFFICIENT, message, headers=headers, extra=extra)
