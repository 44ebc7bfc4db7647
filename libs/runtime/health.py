"""Whether this process lives and may be given work, told over HTTP on a loopback port."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from libs.runtime import metrics
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle

Check = Callable[[], str | None]


class Health:
    """Named checks; the process is ready when none of them has a problem."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check: it returns None when all is well, else the problem in a few words."""
        self._checks[name] = check

    def problems(self) -> dict[str, str]:
        """Return each failing check with its problem; a check that raises has failed."""
        found: dict[str, str] = {}
        for name, check in self._checks.items():
            try:
                problem = check()
            except Exception as error:  # noqa: BLE001 - a broken check must not look like health
                problem = repr(error)
            if problem is not None:
                found[name] = problem
        return found


@dataclass(frozen=True, slots=True)
class HealthServer:
    """Where health is being served."""

    port: int


@contextlib.asynccontextmanager
async def serve_health(
    settings: Settings,
    health: Health,
    lifecycle: Lifecycle,
    ports: Mapping[str, int] | None = None,
) -> AsyncIterator[HealthServer]:
    """Serve /health/live, /health/ready and /metrics, and write down which ports are taken.

    ``ports`` are the process's other ports; with them and its own it writes
    ``<data_dir>/run/<process_name>.json`` when the process has a name.
    """
    runner = web.AppRunner(_app(health, lifecycle), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", settings.health_port).start()
        port = int(runner.addresses[0][1])
        path = settings.data_dir / "run" / f"{settings.process_name}.json"
        if settings.process_name:
            _write_whole(path, {"pid": os.getpid(), "ports": {"health": port, **(ports or {})}})
        try:
            yield HealthServer(port)
        finally:
            if settings.process_name:
                path.unlink(missing_ok=True)
    finally:
        await runner.cleanup()


def _app(health: Health, lifecycle: Lifecycle) -> web.Application:
    async def live(_request: web.Request) -> web.Response:
        return _json(200, {"live": True})

    async def ready(_request: web.Request) -> web.Response:
        problems = health.problems()
        if lifecycle.stopping.is_set():
            problems["lifecycle"] = lifecycle.reason or "stopping"
        return _json(503 if problems else 200, {"ready": not problems, "problems": problems})

    async def render(_request: web.Request) -> web.Response:
        return web.Response(
            body=metrics.render().encode(),
            headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app = web.Application()
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", render)
    return app


def _json(status: int, body: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _write_whole(path: Path, content: dict[str, object]) -> None:
    """Write so that a reader sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_bytes(orjson.dumps(content) + b"\n")
    draft.replace(path)
