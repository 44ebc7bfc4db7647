"""How many upstreams are read on for clients that have gone.

A place is claimed when the client goes, not when the next byte comes: a provider that is silent
just then would otherwise be waited for without a place.
"""

from collections import Counter


class Drains:
    """At most `most` at once, at most `account_most` of them for one account."""

    def __init__(self, most: int, account_most: int) -> None:
        self.free = most
        self._account_most = account_most
        self._of: Counter[str] = Counter()

    def claim(self, account_id: str) -> bool:
        """Take a place, if there is one."""
        if self.free <= 0 or self._of[account_id] >= self._account_most:
            return False
        self.free -= 1
        self._of[account_id] += 1
        return True

    def give_back(self, account_id: str) -> None:
        self.free += 1
        self._of[account_id] -= 1
        if not self._of[account_id]:
            del self._of[account_id]
