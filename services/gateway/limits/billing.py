"""The rate of /billing/v1: of its own, so that who looks at a balance loses no paid request."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.catalogue import Limits
from services.gateway.keys import KeyInfo
from services.gateway.limits.headers import ietf_rate_headers
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.refusals import again
from services.gateway.problems import Problem

_HEADERS: Final = "farebox.rate_headers"


class BillingRate:
    """Counts the requests of an account, and tells it how it stands with every answer."""

    def __init__(self, limiter: Limiter, per_minute: int, now: Callable[[], datetime]) -> None:
        self._limiter = limiter
        self._limits = Limits(requests=per_minute, per_ms=60_000, concurrent=0)
        self._now = now

    async def count(self, scope: Scope, key: KeyInfo) -> None:
        """Count one request; raises Problem 429. Services reserve for others: they have no rate."""
        if key.purpose == "service":
            return
        admission = await self._limiter.admit(f"{key.account_id}:billing", self._limits, "")
        scope[_HEADERS] = ietf_rate_headers(admission.standing, self._now)
        if admission.refused is not None:
            wait_ms = admission.standing.wait_ms
            detail = f"More than {self._limits.requests} requests in a minute; wait {wait_ms} ms."
            headers = {name.decode(): value.decode() for name, value in again(wait_ms)}
            raise Problem(429, "rate_limit_exceeded", detail, headers=headers)


def telling_rates(app: ASGIApp) -> ASGIApp:
    """Put the headers that were noted for a request on its answer."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *scope.get(_HEADERS, ())]
            await send(message)

        await app(scope, receive, with_headers)

    return told
