"""What a repeat is told that gets neither a new answer nor the old one again."""

from collections.abc import Mapping
from typing import Any

from services.gateway.errors import NO_RETRY, RETRY_SOON, HeaderList, Refusal
from services.gateway.idempotency.answers import Answer

_Details = Mapping[str, Any] | None


class IdempotencyRefusal(Refusal):
    """About the Idempotency-Key; `details` name the request that had it first."""

    def __init__(
        self, status: int, code: str, message: str, headers: HeaderList, details: _Details = None
    ) -> None:
        extra = {"details": details} if details else None
        super().__init__(status, code, message, headers=headers, extra=extra)

    @property
    def kind(self) -> str:
        return "idempotency_error"


def in_progress(request_id: str) -> Refusal:
    message = (
        "The request with this Idempotency-Key is still under way. Try again in a moment, with the "
        "same key: nothing is charged twice."
    )
    details = {"request_id": request_id}
    return IdempotencyRefusal(409, "idempotency_in_progress", message, RETRY_SOON, details)


def mismatch() -> Refusal:
    message = (
        "This Idempotency-Key was used for another request: with another path, query or body, or "
        "by another API key. Nothing was executed or charged; use a new key for a new request."
    )
    return IdempotencyRefusal(422, "idempotency_mismatch", message, NO_RETRY)


def not_replayable(answer: Answer, unit: str) -> Refusal:
    if answer.state == "expired":
        message = (
            "The gateway that served the request with this Idempotency-Key was lost, and what "
            "became of it is not known for sure. Nothing more was executed or charged; look at its "
            "receipt, and use a new key to run it again."
        )
    else:
        message = (
            "The request with this Idempotency-Key is done, and its answer is not kept where you "
            "asked: it was a stream, or is too large or too old, or was given by another process. "
            "Nothing more was executed or charged; use a new key to run it again."
        )
    details = {
        "request_id": answer.request_id,
        "status": answer.status,
        "state": answer.state,
        "charged": answer.charged,
        "currency": unit,
    }
    return IdempotencyRefusal(409, "idempotency_not_replayable", message, NO_RETRY, details)


def exhausted(tries: int) -> Refusal:
    message = (
        f"{tries} requests with this Idempotency-Key have failed, and none was charged. Use a new "
        "key to try again."
    )
    return IdempotencyRefusal(409, "idempotency_exhausted", message, NO_RETRY)


def not_supported() -> Refusal:
    message = (
        "A call that is attached to a reservation takes no Idempotency-Key: it is charged nothing "
        "by itself. Leave the header out."
    )
    return Refusal(400, "idempotency_not_supported", message, param="Idempotency-Key")
