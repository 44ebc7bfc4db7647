"""The paid requests that are under way in this process, by account."""

from collections.abc import Callable
from typing import Any


class Slot:
    """The place of one request; it is given back once, however often that is asked."""

    __slots__ = ("_free",)

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def give_back(self, _task: Any = None) -> None:
        """Also serves as the done callback of a task."""
        free, self._free = self._free, None
        if free is not None:
            free()


class Slots:
    """The places that are taken, each by the id of its request."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}

    def take(self, account_id: str, request_id: str) -> None:
        self._taken.setdefault(account_id, set()).add(request_id)

    def give_back(self, account_id: str, request_id: str) -> None:
        taken = self._taken.get(account_id)
        if taken is None:
            return
        taken.discard(request_id)
        if not taken:
            del self._taken[account_id]

    def busy(self, account_id: str) -> int:
        return len(self._taken.get(account_id, ()))

    def total(self) -> int:
        return sum(map(len, self._taken.values()))

    def all(self) -> list[tuple[str, str]]:
        """Account and request of each place that is taken."""
        return [(account, one) for account, taken in self._taken.items() for one in taken]
