"""Places where a test may kill the process; armed once at start, dead code otherwise."""

import os
import signal
from typing import Protocol

POINTS = frozenset({"after_append", "before_reply", "before_settle"})


class FaultSettings(Protocol):
    """The part of the settings that arms a fault."""

    @property
    def faults(self) -> bool: ...
    @property
    def fault_point(self) -> str: ...


class _Armed:
    """The armed point and how many passes are left before it fires."""

    point = ""
    passes_left = 0


def check_fault_point(text: str, *, allowed: bool) -> None:
    """Refuse a fault point that is unknown or not allowed.

    Raises:
        ValueError: the point is set without FAREBOX_FAULTS=1, or is not a known ``point[:n]``.
    """
    if not text:
        return
    if not allowed:
        raise ValueError("FAREBOX_FAULT_POINT is refused unless FAREBOX_FAULTS=1")
    _parse(text)


def arm(settings: FaultSettings) -> None:
    """Arm the settings' fault point, or none."""
    check_fault_point(settings.fault_point, allowed=settings.faults)
    _Armed.point, _Armed.passes_left = (
        _parse(settings.fault_point) if settings.fault_point else ("", 0)
    )


def fault(point: str) -> None:
    """Kill this process as ``kill -9`` would when ``point`` is armed and its pass has come."""
    if point != _Armed.point:
        return
    _Armed.passes_left -= 1
    if _Armed.passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _parse(text: str) -> tuple[str, int]:
    point, _, count = text.partition(":")
    if point not in POINTS:
        raise ValueError(f"unknown fault point {point!r}; known: {', '.join(sorted(POINTS))}")
    if count and not (count.isascii() and count.isdigit() and int(count) > 0):
        raise ValueError(f"fault point {text!r}: what follows the colon is a count from 1")
    return point, int(count or "1")
