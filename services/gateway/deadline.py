"""How long an upstream is waited for."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """A limit that moves while an upstream makes progress, and a latest moment that does not.

    An async context for each try; it raises TimeoutError there when the limit passes. The latest
    moment is that of all tries together.
    """

    def __init__(self, longest_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._latest = self._due = self._loop.time() + longest_s
        self._timeout: asyncio.Timeout | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._timeout = await asyncio.timeout(None).__aenter__()
        self._due = self._latest
        self._arm()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        timeout, self._timeout = self._timeout, None
        assert timeout is not None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        await timeout.__aexit__(kind, value, trace)

    @property
    def over(self) -> bool:
        """Whether the latest moment has passed."""
        return self._loop.time() >= self._latest

    def within(self, seconds: float) -> None:
        """The next progress must come within so many seconds."""
        self._set(min(self._latest, self._loop.time() + seconds))

    def pause(self) -> None:
        """Nothing is expected of the upstream now; only the latest moment counts."""
        self._set(self._latest)

    def latest_in(self, seconds: float) -> None:
        """Bring the latest moment nearer."""
        self._latest = min(self._latest, self._loop.time() + seconds)
        if self._due > self._latest:
            self._set(self._latest)

    def _set(self, due: float) -> None:
        """Move the limit. A later one is only noted: a stream moves it with every event."""
        self._due = due
        if self._alarm is not None and due < self._alarm.when():
            self._arm()

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if self._timeout is None or self._timeout.expired():
            return
        if now < self._due:
            self._arm()
        else:
            self._timeout.reschedule(now)
