"""What the writer keeps in memory, and one batch of changes on top of it."""

from itertools import islice
from typing import NamedTuple, TypeVar

from services.ledger.domain.state import Past, Reservation
from services.ledger.store import CommandKey, Slot

K = TypeVar("K")
V = TypeVar("V")


class Remembered(NamedTuple):
    """A command that was answered, so that a repeat costs no look-up."""

    fingerprint: bytes
    reply: bytes


class WorkingSet:
    """Committed state only: a batch is merged in after its append has succeeded."""

    def __init__(self, accounts_in_memory: int, commands_in_memory: int) -> None:
        self.accounts: dict[str, Slot] = {}
        self.reservations: dict[str, Reservation] = {}
        self.commands: dict[CommandKey, Remembered] = {}
        self._accounts_in_memory = accounts_in_memory
        self._commands_in_memory = commands_in_memory

    def merge(self, overlay: "Overlay") -> None:
        for account_id, slot in overlay.accounts.items():
            self.accounts.pop(account_id, None)  # so that the order of the dict is that of use
            self.accounts[account_id] = slot
        for res in overlay.closed:
            self.reservations.pop(res, None)
        self.reservations.update(overlay.opened)
        self.commands.update(overlay.commands)
        _evict(self.accounts, self._accounts_in_memory)
        _evict(self.commands, self._commands_in_memory)

    def forget(self) -> None:
        """Drop everything that can be read again."""
        self.accounts.clear()
        self.commands.clear()
        self.reservations.clear()


def _evict(entries: dict[K, V], limit: int) -> None:
    """Drop the oldest entries above the limit."""
    if len(entries) > limit:
        for key in list(islice(entries, len(entries) - limit)):
            del entries[key]


class Overlay:
    """The changes of one batch. Thrown away when its append fails."""

    def __init__(self, base: WorkingSet) -> None:
        self.base = base
        self.accounts: dict[str, Slot] = {}
        self.opened: dict[str, Reservation] = {}
        self.closed: dict[str, Past] = {}
        self.commands: dict[CommandKey, Remembered] = {}

    def slot(self, account_id: str) -> Slot | None:
        return self.accounts.get(account_id) or self.base.accounts.get(account_id)

    def remembered(self, key: CommandKey) -> Remembered | None:
        return self.commands.get(key) or self.base.commands.get(key)

    def reservation(self, res: str) -> Reservation | None:
        if res in self.closed:
            return None
        return self.opened.get(res) or self.base.reservations.get(res)

    def open(self, reservation: Reservation) -> None:
        self.opened[reservation.res] = reservation

    def close(self, res: str, past: Past) -> None:
        self.closed[res] = past
        self.opened.pop(res, None)
