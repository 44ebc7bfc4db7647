from typing import Any

from services.ledger.schema import SCHEMA


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Compare this schema only, without the partitions of events: a function makes those."""
    if kind == "schema":
        return name == SCHEMA
    if kind == "table" and name is not None:
        return not name.removeprefix("events_").isdecimal()
    return True
