"""Services run in the test's own loop, on its own database and streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.health import Health
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle
from tests.support.catalogue import EXAMPLE
from tests.support.database import PARTITIONS, Database
from tests.support.settings import settings_for

Serve = Callable[[Any, Lifecycle], Awaitable[None]]


def example_config(folder: Path, partitions: int = PARTITIONS) -> Path:
    """farebox.example.toml with the tests' number of partitions."""
    text = EXAMPLE.replace("partitions = 4", f"partitions = {partitions}")
    path = folder / "farebox.toml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def running(
    serve: Serve, settings: Settings, *, patience_s: float = 15.0
) -> AsyncIterator[Lifecycle]:
    """Run a service until the block ends; it is ready when the block begins."""
    async with begun(serve, settings, patience_s=patience_s) as (lifecycle, task):
        await _ready(settings, task, patience_s)
        yield lifecycle


@asynccontextmanager
async def begun(
    serve: Serve, settings: Settings, *, patience_s: float = 15.0
) -> AsyncIterator[tuple[Lifecycle, "asyncio.Task[None]"]]:
    """The same for a service that may never become ready."""
    lifecycle = Lifecycle()
    task = asyncio.create_task(_serve(serve, settings, lifecycle))
    try:
        yield lifecycle, task
    finally:
        lifecycle.stop()
        await asyncio.wait([task], timeout=patience_s)
        await lifecycle.close()
        if task.done() and not task.cancelled() and lifecycle.exit_code == 0:
            task.result()


async def _serve(serve: Serve, settings: Settings, lifecycle: Lifecycle) -> None:
    await serve(settings, lifecycle)


async def _ready(settings: Settings, task: "asyncio.Task[None]", patience_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    last = ""
    async with httpx.AsyncClient() as client:
        while loop.time() < deadline:
            if task.done():
                task.result()
                raise AssertionError(f"{settings.process_name} ended before it was ready")
            status, last = await readiness(client, settings)
            if status == 200:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(f"{settings.process_name} is not ready: {last}")


async def readiness(client: httpx.AsyncClient, settings: Settings) -> tuple[int, str]:
    """What a service says of itself; 0 while it has no address yet."""
    path = settings.data_dir / "run" / f"{settings.process_name}.json"
    if not path.exists():
        return 0, "no run file"
    port = json.loads(path.read_text())["ports"]["health"]
    answer = await client.get(f"http://127.0.0.1:{port}/health/ready")
    return answer.status_code, answer.text


@asynccontextmanager
async def ledger_client(
    database: Database, user: str, command_class: str, partitions: int = PARTITIONS
) -> AsyncIterator[CommandClient]:
    """A command client as one of the NATS users."""
    settings = settings_for(Settings, user, database)
    lifecycle = Lifecycle()
    async with open_broker(settings, user, lifecycle, Health()) as broker:
        yield CommandClient(
            broker.connection,
            command_class=command_class,
            partitions=partitions,
            watch=broker_watch(broker),
            clock=SystemClock(),
        )
