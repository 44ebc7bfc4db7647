"""Where Stripe delivers: verify the raw bytes, store, answer. Nothing else happens here."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import stripe
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from libs.runtime import metrics
from services.payments import stripe_reading
from services.payments.inbox import Inbox
from services.payments.stripe_api import API_VERSION

log = logging.getLogger(__name__)

BODY_MAX: Final = 1024 * 1024
TOLERANCE_S: Final = 300
"""Of the signature's age; each delivery is signed afresh, so this is never too short."""


class WebhookEndpoint:
    """POST /webhooks/stripe."""

    def __init__(self, inbox: Inbox, secrets: Sequence[str], stored: Callable[[], None]) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._stored = stored
        self._refused = metrics.counter(
            "payments_webhooks_refused_total", "Deliveries with a wrong signature or body."
        )

    async def deliver(self, request: Request) -> Response:
        """200 when the event is stored (now or before), 400 and nothing stored when it is not."""
        body = await _bounded(request)
        header = request.headers.get("stripe-signature", "")
        if body is None or not signed(body, header, self._secrets):
            self._refused.inc()
            return PlainTextResponse("signature refused", 400)
        try:
            event = stripe_reading.delivered(body)
        except ValueError as error:
            self._refused.inc()
            log.warning("signed delivery is no event: %s", error)
            return PlainTextResponse("not an event", 400)
        if event.api_version != API_VERSION:
            log.warning("event of API version %s", event.api_version)
        if await self._inbox.put(event, "webhook"):
            self._stored()
        return PlainTextResponse("stored")


def signed(body: bytes, header: str, secrets: Sequence[str]) -> bool:
    """Whether the bytes carry a fresh signature by one of the secrets."""
    if not header.isascii():
        return False  # the SDK's comparison would raise
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body.decode(), header, secret, TOLERANCE_S)
        except (stripe.SignatureVerificationError, ValueError):
            continue
        return True
    return False


async def _bounded(request: Request) -> bytes | None:
    """The body, None when it is too large to be an event."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_MAX:
            return None
        parts.append(part)
    return b"".join(parts)
