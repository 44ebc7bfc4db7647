"""What NATS refused this process, and how a waiting request learns of it.

The server answers a forbidden publish with an error on the connection, not on the request: without
this watch the caller would wait for its whole timeout (facts: 1.0 s and no word why).
"""

import asyncio
import contextlib
import re
from types import TracebackType

from libs.runtime.errors import ConnectionLost, PermissionDenied

_MOST_VIOLATIONS = 100
"""Refusals kept: whoever makes us answer to ever new subjects must not fill the memory."""
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class PermissionWatch:
    """Collects refusals of one connection and wakes the requests they concern."""

    def __init__(self) -> None:
        self.violations: dict[tuple[str, str], PermissionDenied] = {}
        """Each refused (action, subject); the server names subjects in lower case."""
        self._waiting: dict[str, set[_Guard]] = {}

    def guard(self, subject: str) -> "_Guard":
        """Return an async context for one request to ``subject``.

        Raises:
            PermissionDenied: at once when the server refuses the request or its reply inbox.
            ConnectionLost: at once when the connection breaks meanwhile.
        """
        return _Guard(self._waiting.setdefault(subject.lower(), set()))

    def see(self, error: Exception) -> PermissionDenied | None:
        """Take an error of the connection; return it as a refusal when it is one."""
        found = _VIOLATION.search(str(error).lower())
        if found is None:
            return None
        action, subject = found.groups()
        denied = PermissionDenied(action, subject)
        if len(self.violations) < _MOST_VIOLATIONS:
            denied = self.violations.setdefault((action, subject), denied)
        if action == "publish":
            self._wake(self._waiting.get(subject, set()), denied)
        elif subject.startswith("inbox."):
            self._wake_all(denied)  # no reply can ever arrive
        return denied

    def connection_lost(self) -> None:
        """Wake every waiting request: its reply went with the connection."""
        self._wake_all(ConnectionLost("the NATS connection broke"))

    def connection_made(self) -> None:
        """Forget refusals: a new connection has the rights of today."""
        self.violations.clear()

    def problem(self) -> str | None:
        """Return the refusals in words, for readiness."""
        return "; ".join(str(denied) for denied in self.violations.values()) or None

    def _wake_all(self, error: Exception) -> None:
        for guards in self._waiting.values():
            self._wake(guards, error)

    def _wake(self, guards: "set[_Guard]", error: Exception) -> None:
        for guard in guards:
            guard.wake(error)


class _Guard:
    """Turns a wake-up into an error raised inside the waiting task, as asyncio.timeout does."""

    __slots__ = ("_cancelling", "_error", "_peers", "_task")

    def __init__(self, peers: "set[_Guard]") -> None:
        self._peers = peers
        self._error: Exception | None = None

    def wake(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._task.cancel()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._peers.add(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._peers.discard(self)
        if self._error is None:
            return
        ours_alone = self._task.uncancel() <= self._cancelling
        if kind is asyncio.CancelledError and ours_alone:
            raise self._error from value
        if kind is None and ours_alone:
            # The reply arrived in the same turn: swallow the cancellation still on its way.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
