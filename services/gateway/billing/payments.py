"""Questions to payments, over NATS: this API only translates them to HTTP."""

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

import nats.errors
import orjson

from libs.events.subjects import payments_request
from services.gateway.problems import RETRY_AFTER_S, Problem, unavailable

log = logging.getLogger(__name__)

ANSWER_S: Final = 3.0
STRIPE_S: Final = 20.0
"""Where the answer waits for the payment processor."""
_STATUS: Final = {
    "unknown_order": 404,
    "stripe_refused": 502,
    "unavailable": 503,
    "internal": 502,
}
"""Of a refusal; any other is 422: the request cannot be served as it is."""


class Message(Protocol):
    data: bytes


class Client(Protocol):
    """The part of the NATS connection that is needed here."""

    @property
    def is_connected(self) -> bool: ...

    async def request(self, subject: str, payload: bytes, timeout: float) -> Message: ...  # noqa: ASYNC109 - the NATS client's own


class Payments:
    """Asks the payments service by name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(
        self, name: str, fields: Mapping[str, Any], *, within_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """The data of the answer.

        Raises Problem: 503 when payments is away, else what its refusal means.
        """
        if not self._client.is_connected:  # else the question would be sent when nobody waits
            raise _away()
        try:
            message = await self._client.request(
                payments_request(name), orjson.dumps(fields), timeout=within_s
            )
            answer = orjson.loads(message.data)
        except (nats.errors.Error, TimeoutError, orjson.JSONDecodeError) as error:
            log.warning("payments did not answer %s: %r", name, error)
            raise _away() from error
        if answer.get("ok") is True:
            data: dict[str, Any] = answer["data"]
            return data
        raise _refused(str(answer.get("code")), str(answer.get("message")))


def _away() -> Problem:
    return unavailable("payments_unavailable", "Payments")


def _refused(code: str, message: str) -> Problem:
    status = _STATUS.get(code, 422)
    if status >= 500:
        log.error("payments: %s: %s", code, message)
        code = f"payments_{code}"
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    return Problem(status, code, message, headers=headers)
