"""The public port of payments: webhooks and the return page."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from libs.runtime.supervision import Lifecycle
from services.payments.return_page import ReturnPage
from services.payments.webhooks import WebhookEndpoint

_GRACE_S = 5
_BACKLOG = 512


def public_app(endpoint: WebhookEndpoint, page: ReturnPage) -> Starlette:
    """The two routes that the outside world may reach."""
    return Starlette(
        routes=[
            Route("/webhooks/stripe", endpoint.deliver, methods=["POST"]),
            Route("/return", page.show, methods=["GET"]),
        ]
    )


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"FAREBOX_LISTEN must be host:port, not {text!r}")
    return host.strip("[]"), int(port)


def listening(address: tuple[str, int]) -> socket.socket:
    """An open port; OSError, naming the address, when it is taken."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # Of a socket whose protocol is not named asyncio does not switch Nagle's delay off.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        host, port = address
        raise OSError(error.errno, f"payments cannot listen on {host}:{port}: {error}") from error
    return made


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process's own supervision handles signals


@contextlib.asynccontextmanager
async def serving(app: Starlette, port: socket.socket, lifecycle: Lifecycle) -> AsyncIterator[None]:
    """Serve the app on the open port; running requests get five seconds at the end."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    task = lifecycle.spawn(server.serve(sockets=[port]), "http server")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({task})
