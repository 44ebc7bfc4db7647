"""`python -m simulators.stripe --port 0 --run-file PATH --webhook-url URL --webhook-secret S`."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import DEFAULT_SECRET, Delivery


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.stripe", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--run-file", type=Path, help="pid and port are written here once ready")
    parser.add_argument("--webhook-url", help="deliver events there as they happen")
    parser.add_argument("--webhook-secret", default=DEFAULT_SECRET)
    return parser.parse_args()


def _write_run_file(path: Path, port: int) -> None:
    body = {"pid": os.getpid(), "ports": {"http": port}, "url": f"http://127.0.0.1:{port}"}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body), encoding="utf-8")
    fresh.replace(path)


class _Announcing(uvicorn.Server):
    """Writes the run file once the port is open."""

    run_file: Path | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.run_file is not None and sockets:
            _write_run_file(self.run_file, sockets[0].getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order, with status 0: uvicorn itself would raise the signal again."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self.handle_exit, name, None)
        yield


async def _serve(arguments: argparse.Namespace) -> None:
    delivery = Delivery(arguments.webhook_url, arguments.webhook_secret, auto=True)
    config = uvicorn.Config(FakeStripe(delivery=delivery), log_level="critical", lifespan="on")
    server = _Announcing(config)
    server.run_file = arguments.run_file
    await server.serve(sockets=[socket.create_server(("127.0.0.1", arguments.port))])


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
