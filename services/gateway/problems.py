"""Errors of the JSON APIs as RFC 9457 problem documents, each with a `code` to act on."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from libs.events.declines import DECLINES
from libs.events.money import decimal_text
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
_AMOUNTS: Final = ("required", "available", "reserved", "total")


class Problem(Exception):
    """What is answered instead of the result; `members` are added to the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def body(self) -> dict[str, Any]:
        """The document: type, title, status, detail and code, then the members."""
        return {
            "type": f"urn:farebox:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        } | self.members

    def response(self) -> Response:
        return Response(orjson.dumps(self.body()), self.status, self.headers, MEDIA_TYPE)


class ProblemBody(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people. Further members depend on the code."""

    type: str
    title: str
    status: int
    detail: str
    code: str


_WHEN: Final[dict[int, str]] = {
    400: "The request cannot be read, or lacks its Idempotency-Key.",
    401: "Nobody is known by these credentials.",
    402: "Too little is available, or a cap is reached; the answer says how much there is.",
    403: "These credentials are not for this.",
    404: "There is no such thing, or it is another account's.",
    408: "The body did not arrive in time.",
    409: "As things stand it cannot be done.",
    413: "The body is too large.",
    422: "What was asked for is wrong, or cannot be had.",
    429: "Too many requests; `retry-after` says when to come again.",
    500: "The server failed.",
    502: "The payment processor refused.",
    503: "The ledger or payments does not answer now; the same request may be repeated.",
}
ALWAYS: Final = (401, 403, 408, 413, 500, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of these answers; the schema stands among the components."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": _WHEN[status], "content": content} for status in statuses}


_STATUS: Final[dict[str, int]] = {
    "unknown_account": 404,
    "unknown_key": 404,
    "unknown_grant": 404,
    "unknown_reservation": 404,
    "unknown_request": 404,
    "unknown_catalogue": 404,
    "unknown_payment": 404,
    "unknown_cause": 409,
    "account_frozen": 409,
    "account_closed": 409,
    "account_not_empty": 409,
    "too_many_keys": 409,
    "too_many_grants": 409,
    "deadline_passed": 503,
    **dict.fromkeys(
        (
            "insufficient_balance", "key_cap_total", "key_cap_day", "key_cap_month",
            "account_cap_day", "account_cap_month",
        ),
        402,
    ),
    **dict.fromkeys(("reservation_expired", "calls_open"), 409),
}  # fmt: skip
"""Of a decline; any other is 422: what was asked for cannot be had."""
_DETAIL: Final[dict[str, str]] = {
    "unknown_request": "the account has no request with this id",
    "unknown_cause": "the account is not frozen for this reason",
    "key_expired": "expires_at is not in the future",
    "grant_expired": "expires_at is not in the future",
    "deadline_passed": "the ledger took too long and did nothing; try again",
}
"""Where the ledger's general words say too little here."""


def _words(code: str) -> str:
    words = _DETAIL.get(code) or DECLINES.get(code) or f"the ledger declined this: {code}"
    return f"{words[0].upper()}{words[1:]}."


def declined(data: Mapping[str, Any], unit: str | None = None) -> Problem:
    """The problem of a Declined reply, with its numbers as decimal texts when the unit is known."""
    code = str(data["code"])
    status = _STATUS.get(code, 422)
    members: dict[str, Any] = {
        name: data[name]
        for name in ("limit_source", "until", "parameter")
        if data.get(name) is not None
    }
    for name in _AMOUNTS:
        if unit is not None and data.get(name) is not None:
            members[name] = decimal_text(int(data[name]), unit)
    return Problem(status, code, _words(code), headers=_retry(status), **members)


def unavailable(code: str = "ledger_unavailable", who: str = "The ledger") -> Problem:
    detail = f"{who} does not answer. Repeat the same request in a moment."
    return Problem(503, code, detail, headers=_retry(503))


def _retry(status: int) -> dict[str, str]:
    return {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}


def _query_failed(error: QueryFailed) -> Problem:
    if error.code in _STATUS:
        return declined({"code": error.code})
    log.error("query failed: %s", error)
    return unavailable()


def _invalid(error: RequestValidationError) -> Problem:
    """Every fault of the request at once; what was sent is not repeated: it may be a secret."""
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    kinds = {fault["type"] for fault in error.errors()}
    if "json_invalid" in kinds:
        return Problem(400, "malformed_json", "The request body is not JSON.", errors=faults)
    if any(fault["field"].lower() == "header.idempotency-key" for fault in faults):
        detail = "The header Idempotency-Key must be 1 to 255 printable ASCII characters."
        return Problem(400, "idempotency_key_required", detail, errors=faults)
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return Problem(422, "invalid_request", detail, errors=faults)


def _of_status(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(
        error.status_code,
        phrase.lower().replace(" ", "_"),
        str(error.detail),
        headers=error.headers,
    )


def answer_problems(app: FastAPI) -> None:
    """Answer every failure of this application as a problem document."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (
        Problem,
        HTTPException,
        RequestValidationError,
        LedgerUnavailable,
        PermissionDenied,
        QueryFailed,
        Exception,
    ):
        app.add_exception_handler(kind, answer)


def problem_of(error: Exception) -> Problem:
    """The problem that tells of a failure; one nobody foresaw is a 500 without its words."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _of_status(error)
        case RequestValidationError():
            return _invalid(error)
        case QueryFailed():
            return _query_failed(error)
        case LedgerUnavailable() | PermissionDenied():
            log.warning("ledger unavailable: %s", error)
            return unavailable()
        case _:
            log.error("request failed", exc_info=error)
            return Problem(500, "internal_error", "The request failed; see the server's log.")
