"""How much the streams of each account may cost beyond what is held for them."""

from collections import Counter


class Unheld:
    """Nanos that running streams of this worker may cost above their holds, by account.

    All streams of one account together may run ahead by `percent` of what it has available.
    """

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._of: Counter[str] = Counter()

    def room(self, account_id: str, available: int) -> int:
        """How much a further stream may run ahead."""
        return max(0, available * self._percent // 100 - self._of[account_id])

    def add(self, account_id: str, nanos: int) -> None:
        """Count what a stream may cost above its hold; less than 0 takes it back."""
        self._of[account_id] += nanos
        if not self._of[account_id]:
            del self._of[account_id]
