"""Time that passes when a test says so: a slow machine is no upstream that is late."""

from typing import Any

import pytest

from services.gateway import completion
from services.gateway.deadline import Deadline


class ToldDeadline(Deadline):
    """Notes what becomes of the upstream; it passes by `latest_in(0)`, or by `within(0)`."""

    heard = 0
    """How often the upstream was given time anew."""
    paused = False
    """Whether nothing is expected of the upstream now."""

    def within(self, seconds: float) -> None:
        self.heard += 1
        self.paused = False
        super().within(seconds)

    def pause(self) -> None:
        self.paused = True
        super().pause()


def told_deadlines(patch: pytest.MonkeyPatch) -> list[ToldDeadline]:
    """Those of model calls from now on, in their order."""
    made: list[ToldDeadline] = []

    def make(*args: Any) -> ToldDeadline:
        made.append(ToldDeadline(*args))
        return made[-1]

    patch.setattr(completion, "Deadline", make)
    return made
