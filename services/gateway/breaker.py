"""A circuit breaker: what keeps failing is left alone for a while, then tried by one call.

Closed: calls go. Open: none goes until the pause is over. Half-open: one call goes, the probe, and
what becomes of it closes the circuit or opens it for twice as long.
"""

from collections.abc import Callable
from typing import Final, Literal

LONGEST_PAUSE_S: Final = 300.0
_DOUBLINGS: Final = 3
_WINDOW_S: Final = 30.0
_LEAST_CALLS: Final = 20
"""Calls in a window from which on the share of failures says something."""


class Breaker:
    """The circuit of one route. `clock` is monotonic seconds.

    It opens after `failures` in a row, when half of at least 20 calls within 30 s failed, or for as
    long as the upstream asks to be left alone.
    """

    def __init__(self, clock: Callable[[], float], *, failures: int, pause_s: float) -> None:
        self._clock = clock
        self._failures = failures
        self._pause_s = pause_s
        self._in_row = 0
        self._openings = 0
        self._probing = False
        self._window_ends = self._calls = self._failed = 0.0
        self.open_until: float | None = None
        """When the pause ends; None while the circuit is closed."""

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        if self.open_until is None:
            return "closed"
        return "half_open" if self._probing or self._clock() >= self.open_until else "open"

    @property
    def lets_in(self) -> bool:
        """Whether a call may go now."""
        if self.open_until is None:
            return True
        return not self._probing and self._clock() >= self.open_until

    def enter(self) -> bool:
        """Begin a call, also one that goes though the circuit is open; whether it is the probe."""
        if self.open_until is None or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self, *, probe: bool) -> None:
        if probe:
            self._probing = False
            self._openings = 0
            self.open_until = None
            self._window_ends = 0.0
        self._in_row = 0
        self._count(0)

    def failed(self, *, probe: bool, pause_s: float | None = None) -> None:
        """Note a failure; `pause_s` is how long the upstream asked to be left alone."""
        if probe:
            self._probing = False
            self._open(pause_s)
        elif self.open_until is None:
            self._in_row += 1
            self._count(1)
            if pause_s is not None or self._in_row >= self._failures or self._half_fail:
                self._open(pause_s)
        # Else it began before the circuit opened, and tells nothing new.

    def left(self, *, probe: bool) -> None:
        """The call ended without telling anything of the upstream."""
        if probe:
            self._probing = False

    @property
    def _half_fail(self) -> bool:
        return self._calls >= _LEAST_CALLS and self._failed * 2 >= self._calls

    def _count(self, failed: int) -> None:
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends, self._calls, self._failed = now + _WINDOW_S, 0, 0
        self._calls += 1
        self._failed += failed

    def _open(self, pause_s: float | None) -> None:
        if pause_s is None:
            pause_s = self._pause_s * 2 ** min(self._openings, _DOUBLINGS)
            self._openings += 1
        self.open_until = self._clock() + min(pause_s, LONGEST_PAUSE_S)
        self._in_row = 0
