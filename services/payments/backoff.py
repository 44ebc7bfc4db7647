"""How long to wait before the next try."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits between `first_s` and `cap_s` seconds, each up to a quarter shorter."""

    first_s: float
    cap_s: float

    def wait_s(self, tries: int) -> float:
        """Seconds to wait after this many tries (1: the first one failed)."""
        whole: float = min(self.first_s * 2 ** min(max(tries, 1) - 1, 30), self.cap_s)
        return whole * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, hides nothing
