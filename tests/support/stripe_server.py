"""The stand-in for Stripe behind a real port of the test's own loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from simulators.stripe.app import FakeStripe


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def stripe_server(fake: FakeStripe) -> AsyncIterator[str]:
    """Serve it and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as port:
        server = _Server(uvicorn.Config(fake, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[port]))
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"
        finally:
            await fake.webhooks.close()
            server.should_exit = True
            await task
