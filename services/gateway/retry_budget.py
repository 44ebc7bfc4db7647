"""A retry budget: when everything fails, falling back must not double what is asked."""

from typing import Final

_PERCENT: Final = 20
_BURST: Final = 10
_COST: Final = 100


class RetryBudget:
    """Fallbacks to one route that may fail: 10, and one more for every five calls.

    A fallback that succeeds costs nothing, so that a route that works takes over as much as comes.
    """

    def __init__(self) -> None:
        self._left = _BURST * _COST

    @property
    def allows(self) -> bool:
        return self._left >= _COST

    def earn(self) -> None:
        """A call began that could fall back to this route."""
        self._left = min(self._left + _PERCENT, _BURST * _COST)

    def spend(self) -> None:
        """A fallback to this route failed."""
        self._left = max(0, self._left - _COST)
