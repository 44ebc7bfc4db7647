from typing import Any, NamedTuple

LISTED = 1000


class Difference(NamedTuple):
    """Something that is not what the log says: where, what is stored, what should stand there."""

    table: str
    row: str
    column: str
    stored: Any
    computed: Any

    def __str__(self) -> str:
        where = f"{self.table} {self.row} {self.column}"
        return f"{where}: stored {_text(self.stored)}, computed {_text(self.computed)}"


class Differences:
    """Collects differences: all are counted, the first `LISTED` are kept."""

    def __init__(self) -> None:
        self.listed: list[Difference] = []
        self.count = 0

    def add(self, table: str, row: str, column: str, stored: Any, computed: Any) -> None:
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(Difference(table, row, column, _plain(stored), _plain(computed)))


def _plain(value: Any) -> Any:
    """Bytes as hex: both sides of a difference must be readable, and be JSON."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | bool | None) else str(value)


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)[:300]
