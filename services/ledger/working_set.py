"""What the writer keeps in memory, and one batch of changes on top of it."""

from collections.abc import Mapping
from itertools import islice
from typing import NewType, TypeVar

from services.ledger.command_key import CommandKey
from services.ledger.deadlines import Deadlines
from services.ledger.domain.catalogues import (
    NONE,
    NOTHING_IN_FORCE,
    InForce,
    Terms,
    evolve_published,
    in_force,
)
from services.ledger.domain.state import Event, Past, Reservation
from services.ledger.slot import EMPTY, Slot

K = TypeVar("K")
V = TypeVar("V")


Remembered = NewType("Remembered", bytes)
"""A command that was answered, so that a repeat costs no look-up: its fingerprint, then its reply.

One object, because a hundred thousand of them are kept and dropped in turn.
"""

PRINT_BYTES = 32

DROPPED_SHIFT = 6
"""A 2^6th of the limit is dropped at once."""


def remember(fingerprint: bytes, reply: bytes) -> Remembered:
    return Remembered(fingerprint + reply)


class WorkingSet:
    """Committed state only: a batch is merged in after its append has succeeded."""

    def __init__(self, accounts_in_memory: int, commands_in_memory: int) -> None:
        self.accounts: dict[str, Slot] = {}
        self.reservations: dict[str, Reservation] = {}
        self.deadlines = Deadlines()
        self.commands: dict[CommandKey, Remembered] = {}
        self.terms: Terms = NONE
        self.in_force = NOTHING_IN_FORCE
        self.stream = EMPTY
        self._accounts_in_memory = accounts_in_memory
        self._commands_in_memory = commands_in_memory

    def merge(self, overlay: "Overlay") -> None:
        accounts = self.accounts
        for account_id in overlay.accounts:
            accounts.pop(account_id, None)  # so that the order of the dict is that of use
        accounts.update(overlay.accounts)
        for res in overlay.closed:
            self._drop(res)
        self.hold(overlay.opened)
        self.commands.update(overlay.commands)
        self.terms, self.in_force, self.stream = overlay.terms, overlay.in_force, overlay.stream
        _evict(self.accounts, self._accounts_in_memory)
        _evict(self.commands, self._commands_in_memory)

    def hold(self, opened: Mapping[str, Reservation]) -> None:
        """Take in reservations that are open, in place of what they were before."""
        for res, reservation in opened.items():
            if res in self.reservations:
                self._drop(res)
            self.deadlines.add(reservation)
        self.reservations.update(opened)

    def know(self, terms: Terms, stream: Slot) -> None:
        """Take in the catalogues of the partition, and the end of its own stream of events."""
        self.terms, self.in_force, self.stream = terms, NOTHING_IN_FORCE._replace(until=""), stream

    def _drop(self, res: str) -> None:
        reservation = self.reservations.pop(res, None)
        if reservation is not None:
            self.deadlines.remove(reservation)

    def forget(self) -> None:
        """Drop everything that can be read again."""
        self.accounts.clear()
        self.commands.clear()
        self.reservations.clear()
        self.deadlines.clear()


def _evict(entries: dict[K, V], limit: int) -> None:
    """Drop the oldest entries when there are more than the limit, and some more than needed.

    A dict keeps the places of what was dropped from its front, and looks through all of them to
    find the oldest entry: one by one that costs more than the command which came instead.
    """
    if len(entries) > limit:
        kept = limit - (limit >> DROPPED_SHIFT)
        for key in list(islice(entries, len(entries) - kept)):
            del entries[key]


class Overlay:
    """The changes of one batch. Thrown away when its append fails.

    `under` are those of the batch before it, as long as that one is not merged into `base`.
    """

    def __init__(self, base: WorkingSet, under: "Overlay | None" = None) -> None:
        self.base = base
        self.under = under
        self.accounts: dict[str, Slot] = {}
        self.opened: dict[str, Reservation] = {}
        self.closed: dict[str, Past] = {}
        self.commands: dict[CommandKey, Remembered] = {}
        self.terms: Terms = under.terms if under else base.terms
        self.in_force: InForce = under.in_force if under else base.in_force
        self.stream: Slot = under.stream if under else base.stream

    def at(self, now: str) -> None:
        """See which catalogues are in force from this moment of the batch on."""
        if not self.in_force.holds(now):
            self.in_force = in_force(self.terms, now)

    def publish(self, event: Event, own: str) -> None:
        """Take in a catalogue and the new end of the partition's own stream, called `own`."""
        self.terms = evolve_published(self.terms, event.data, event.occurred_at)
        self.in_force = in_force(self.terms, event.occurred_at)
        self.stream = self.accounts.pop(own)

    def slot(self, account_id: str) -> Slot | None:
        found = self.accounts.get(account_id)
        if found is None and self.under is not None:
            found = self.under.accounts.get(account_id)
        return found or self.base.accounts.get(account_id)

    def remembered(self, key: CommandKey) -> Remembered | None:
        found = self.commands.get(key)
        if found is None and self.under is not None:
            found = self.under.commands.get(key)
        return found or self.base.commands.get(key)

    def reservation(self, res: str) -> Reservation | None:
        under = self.under
        if res in self.closed:
            return None
        found = self.opened.get(res)
        if found is None and under is not None:
            if res in under.closed:
                return None
            found = under.opened.get(res)
        return found or self.base.reservations.get(res)

    def open(self, reservation: Reservation) -> None:
        self.opened[reservation.res] = reservation

    def close(self, res: str, past: Past) -> None:
        self.closed[res] = past
        self.opened.pop(res, None)
