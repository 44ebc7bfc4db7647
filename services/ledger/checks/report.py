from collections import Counter
from typing import Any, NamedTuple

from services.ledger.invariants import invariant_of

LISTED = 1000


class Difference(NamedTuple):
    """Something that is not what the log says: where, what is stored, what should stand there."""

    table: str
    row: str
    column: str
    stored: Any
    computed: Any
    invariant: str
    """Of `invariants.INVARIANTS`: which does not hold."""

    def __str__(self) -> str:
        where = f"{self.table} {self.row} {self.column}"
        return f"{where}: stored {_text(self.stored)}, computed {_text(self.computed)}"


class Differences:
    """Collects differences: all are counted, the first `LISTED` are kept."""

    def __init__(self) -> None:
        self.listed: list[Difference] = []
        self.count = 0
        self.by_table: Counter[str] = Counter()
        self.by_invariant: Counter[str] = Counter()

    def add(self, table: str, row: str, column: str, stored: Any, computed: Any) -> None:
        invariant = invariant_of(table, column, computed)
        self.count += 1
        self.by_table[table] += 1
        self.by_invariant[invariant] += 1
        if len(self.listed) < LISTED:
            values = _plain(stored), _plain(computed)
            self.listed.append(Difference(table, row, column, *values, invariant))


def _plain(value: Any) -> Any:
    """Bytes as hex: both sides of a difference must be readable, and be JSON."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | bool | None) else str(value)


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)[:300]
