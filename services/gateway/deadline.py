"""How long an upstream is waited for."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """A limit that moves while an upstream makes progress, and a latest moment that does not.

    An async context; it raises TimeoutError there when the limit passes.
    """

    def __init__(self, longest_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._latest = self._clock() + longest_s
        self._timeout = asyncio.timeout_at(self._latest)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._timeout.__aexit__(kind, value, trace)

    @property
    def over(self) -> bool:
        """Whether the latest moment has passed."""
        return self._clock() >= self._latest

    def within(self, seconds: float) -> None:
        """The next progress must come within so many seconds."""
        self._set(min(self._latest, self._clock() + seconds))

    def pause(self) -> None:
        """Nothing is expected of the upstream now; only the latest moment counts."""
        self._set(self._latest)

    def latest_in(self, seconds: float) -> None:
        """Bring the latest moment nearer."""
        self._latest = min(self._latest, self._clock() + seconds)
        when = self._timeout.when()
        if when is not None and when > self._latest:
            self._set(self._latest)

    def _set(self, when: float) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(when)
