"""An event loop without a world: time jumps to the next timer, nothing else ever happens."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Stuck(RuntimeError):
    """Everybody waits and no timer runs: nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order of their virtual times; the same programme, the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self._selector = self

    def time(self) -> float:
        return self.elapsed

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("every task waits for another")
        self.elapsed += timeout
        return []

    def _process_events(self, _events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtually(main: Coroutine[Any, Any, Any], loop: VirtualLoop) -> Any:
    """Run to the end, cancel what is left, close the loop."""
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
