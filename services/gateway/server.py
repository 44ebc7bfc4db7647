"""Serves the gateway on its port; several workers may share one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from services.gateway.connections import BoundedConnection, bounded

_BACKLOG: Final = 2048
# Longer than clients keep an idle connection: they close it, and never write to a closed one.
_KEEP_ALIVE_S: Final = 75


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process's own supervision handles signals


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"FAREBOX_LISTEN must be host:port, not {text!r}")
    return host.strip("[]"), int(port)


def listen(address: tuple[str, int], *, shared: bool) -> socket.socket:
    """A listening socket; `shared` lets other workers listen there too.

    Raises:
        OSError: the address is taken; the text names it.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named: of a socket without a protocol asyncio does not switch Nagle's delay off, and every
    # answer of a head and a body would wait 40 ms for the client's acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error}") from error
    return listening


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    listening: socket.socket,
    finish: Callable[[], Awaitable[None]] | None = None,
    *,
    grace_s: float,
    stall_s: float = BoundedConnection.stall_s,
) -> AsyncIterator[None]:
    """Serve an ASGI application.

    On the way out it takes no more connections, awaits `finish`, if there is one, which sees to
    the requests under way, and cuts off what is left `grace_s` seconds after it began to end.
    A client that takes nothing of its answer for `stall_s` is cut off at any time.
    """
    config = uvicorn.Config(
        app,
        http=bounded(stall_s),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http server")
    try:
        yield
    finally:
        server.should_exit = True
        if finish is not None:
            await finish()
        await asyncio.wait({task})
        listening.close()
        task.result()
