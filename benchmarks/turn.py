"""One side's turn at the load: a round that counts, after void ones that do not."""

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rounds import Ours, Round, Void

WARM_S = 2
REPEATS = 2


class Turn:
    """One round of load, made again when it is void."""

    def __init__(
        self, callers: int, processes: int, seconds: float, say: Callable[[str], None]
    ) -> None:
        self.callers = callers
        self.processes = processes
        self.seconds = seconds
        self.say = say
        self.voided: list[str] = []

    def __call__(self, ours: Ours, shape: str, accounts: Path, *, warm: bool = False) -> Round:
        """Ours; `warm`: after a short round that does not count."""

        def attempt() -> Round:
            if warm:
                ours.round("warm", accounts, self.callers, self.processes, WARM_S)
            return ours.round(shape, accounts, self.callers, self.processes, self.seconds)

        return self.of(shape, attempt)

    def of(self, name: str, attempt: Callable[[], Round]) -> Round:
        """Any side's. Raises SystemExit when it is void each time."""
        for _ in range(1 + REPEATS):
            try:
                made = attempt()
            except Void as void:
                self.voided.append(f"{name}: {void}")
                self.say(f"void: {void}")
                time.sleep(1)
                continue
            self.say(f"{name}: {made.per_second:.0f} a second, p99 {made.p99_ms:.1f} ms")
            return made
        raise SystemExit("a round was void three times: no result")
