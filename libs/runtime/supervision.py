"""The life of one process: its tasks, its end, and what its exit code says."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, NoReturn, TypeVar

import uvloop

from libs.runtime import faults
from libs.runtime.ending import end
from libs.runtime.logs import setup_logging
from libs.runtime.settings import Settings

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Settings)

CLEAN_UP_S = 15.0
"""How long a service may take to clean up before its process is ended."""
CANCEL_S = 5.0
"""How long a task is told to end before the process ends without it."""


class Lifecycle:
    """One process's tasks and the event that ends it."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.exit_code = 0
        self.reason: str | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    def stop(self) -> None:
        """Ask the process to end in order."""
        self.stopping.set()

    def die(self, reason: str) -> None:
        """End the process with exit code 1; the first reason is the one that is kept."""
        if self.reason is None:
            self.reason = reason
            self.exit_code = 1
            log.critical("process ends: %s", reason)
        self.stopping.set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``work`` beside the service; its failure ends the process."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> bool:
        """Cancel every task still running, last started first, and wait for each to end.

        False when one of them still runs after ``CANCEL_S`` seconds.
        """
        ended = [await self.end([task]) for task in reversed(self._tasks[:])]
        self._tasks.clear()
        return all(ended)

    async def end(self, tasks: Collection[asyncio.Task[Any]]) -> bool:
        """Cancel some of the tasks and wait until each has ended, while the process goes on.

        One that resists for ``CANCEL_S`` seconds ends the process; False then.
        """
        for task in await end(*tasks, within_s=CANCEL_S):
            self.die(f"task {task.get_name()} resists its end")
            return False
        return True

    def _ended(self, task: asyncio.Task[Any]) -> None:
        with contextlib.suppress(ValueError):
            self._tasks.remove(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            log.error("task %s failed", task.get_name(), exc_info=failure)
            self.die(f"task {task.get_name()} failed: {failure!r}")


def run(serve: Callable[[S, Lifecycle], Awaitable[None]], settings: S) -> NoReturn:
    """Run one service to its end and leave the process with its exit code.

    SIGTERM and SIGINT stop it in order; 0 after an ordered stop, 1 after ``Lifecycle.die`` or a
    failure of ``serve``. A clean-up longer than ``CLEAN_UP_S`` is cut off.
    """
    setup_logging(settings.log_level, settings.process_name)
    faults.arm(settings)
    sys.exit(uvloop.run(_supervise(serve, settings)))


async def _supervise(serve: Callable[[S, Lifecycle], Awaitable[None]], settings: S) -> int:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifecycle.stop)
    log.info("starting", extra={"pid": os.getpid()})
    service = asyncio.ensure_future(serve(settings, lifecycle))
    stopping = asyncio.create_task(lifecycle.stopping.wait())
    await asyncio.wait({service, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await _finish(service, lifecycle)
    if not await lifecycle.close():
        # What cannot be ended would keep a dead process's ports and locks alive.
        os._exit(lifecycle.exit_code)
    log.info("stopped", extra={"exit_code": lifecycle.exit_code})
    return lifecycle.exit_code


async def _finish(service: asyncio.Future[None], lifecycle: Lifecycle) -> None:
    """Wait for the service's own clean-up, cutting it off when it takes too long."""
    await asyncio.wait({service}, timeout=CLEAN_UP_S)
    if not service.done():
        lifecycle.die(f"clean-up took longer than {CLEAN_UP_S:g} s")
        service.cancel()
        await asyncio.wait({service}, timeout=1.0)
    if not service.done():
        # A clean-up that also resists cancelling would keep a dead process's locks alive.
        os._exit(lifecycle.exit_code)
    if not service.cancelled() and (failure := service.exception()) is not None:
        log.error("service failed", exc_info=failure)
        lifecycle.die(f"service failed: {failure!r}")
