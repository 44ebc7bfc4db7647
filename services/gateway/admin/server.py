"""Serves an application on one port, as long as the process lives."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from libs.runtime.supervision import Lifecycle

_GRACE_S = 5


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process's own supervision handles signals


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"FAREBOX_LISTEN must be host:port, not {text!r}")
    return host.strip("[]"), int(port)


@contextlib.asynccontextmanager
async def serve_app(
    app: ASGIApp, address: tuple[str, int], lifecycle: Lifecycle
) -> AsyncIterator[int]:
    """Serve `app` and yield its port; running requests get five seconds at the end.

    OSError when the address is taken.
    """
    with _listening(address) as listening:
        server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        task = lifecycle.spawn(server.serve(sockets=[listening]), "http server")
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.wait({task})


def _listening(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(512)
    except OSError as error:
        listening.close()
        host, port = address
        raise OSError(error.errno, f"admin cannot listen on {host}:{port}: {error}") from error
    return listening
