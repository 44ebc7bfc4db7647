"""Who did what: one log line for every request of an operator that is meant to change something."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.json_api import CALLER

log = logging.getLogger(__name__)


class Logbook:
    """Stands behind the door: the operator is known, the answer is not yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or CALLER not in scope:
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            operator = scope[CALLER]
            log.info(
                "operator %s: %s %s: %d",
                *(operator.name, scope["method"], scope["path"], status),
                extra={"operator": operator.name, "role": operator.role, "status": status},
            )
