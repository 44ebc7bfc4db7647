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
from libs.runtime.logs import setup_logging
from libs.runtime.settings import Settings

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Settings)

CLEAN_UP_S = 15.0
"""How long a service may take to clean up before its process is ended."""
CANCEL_TRIES = 5
CANCEL_AGAIN_S = 0.05
"""How soon tasks that have to end together are told again."""


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

        A task whose clean-up fails can lose its cancellation in that failure, so it is told again.
        False when one of them still runs after ``CANCEL_TRIES`` seconds.
        """
        ended = True
        for task in reversed(self._tasks[:]):
            for _ in range(CANCEL_TRIES):
                task.cancel()
                await asyncio.wait([task], timeout=1.0)
                if task.done():
                    break
            else:
                self.die(f"task {task.get_name()} resists its end")
                ended = False
        self._tasks.clear()
        return ended

    async def end(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        """Cancel some of the tasks and wait until each has ended, while the process goes on.

        They are told again and again: a cancellation that comes together with what a task waits
        for can get lost (asyncio.wait_for of Python 3.11, and with it every request of nats-py).
        One that resists for ``CANCEL_TRIES`` seconds ends the process.
        """
        deadline = asyncio.get_running_loop().time() + CANCEL_TRIES
        while left := [task for task in tasks if not task.done()]:
            if asyncio.get_running_loop().time() > deadline:
                self.die(f"task {left[0].get_name()} resists its end")
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCEL_AGAIN_S)

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
