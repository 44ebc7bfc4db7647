"""Which open holds end when, without a cost for those that are closed in time."""

from collections.abc import Iterator

from services.ledger.domain.state import Reservation

WIDTH = 18
"""Characters of an RFC 3339 text that name ten seconds."""


class Deadlines:
    """Open holds in slots of ten seconds by their deadline; the order within one is that of use.

    A heap would keep every closed hold until its deadline, which is long after its end.
    """

    def __init__(self) -> None:
        self._slots: dict[str, dict[str, None]] = {}

    def add(self, reservation: Reservation) -> None:
        slot = reservation.expires_at[:WIDTH]
        held = self._slots.get(slot)
        if held is None:
            held = self._slots[slot] = {}
        held[reservation.res] = None

    def remove(self, reservation: Reservation) -> None:
        slot = reservation.expires_at[:WIDTH]
        held = self._slots.get(slot)
        if held is not None:
            held.pop(reservation.res, None)
            if not held:
                del self._slots[slot]

    def until(self, text: str) -> Iterator[str]:
        """The holds of every slot that has begun by then, earlier slots first."""
        for slot in sorted(slot for slot in self._slots if slot <= text[:WIDTH]):
            yield from self._slots[slot]

    def clear(self) -> None:
        self._slots.clear()
