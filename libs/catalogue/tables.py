"""The shapes of farebox.toml and the walk that reads a file by them, naming every fault."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from libs.catalogue.errors import Problems, Wrong, join, suggestion
from libs.catalogue.readers import Reader, kind_of

Values = dict[str, Any]
"""What was read of a table: a key that could not be read is absent, and already reported."""

REQUIRED: Final = object()
_BROKEN: Final = object()


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: its shape, what it means, and the default in the file's own form."""

    shape: "Shape | None"
    means: str
    default: Any = REQUIRED
    example: str = ""
    later: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with fixed keys."""

    keys: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A table whose keys are names chosen by the operator; `word` says what they name."""

    names: str
    of: "Shape"
    say: str
    word: str = "model"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; an unordered one is read sorted, so that order means nothing."""

    of: Reader | Table
    unordered: bool = False
    repeats: bool = False
    least: int = 0
    most: int | None = None

    @property
    def form(self) -> str:
        """How one item is written."""
        if isinstance(self.of, Table):
            return f"{{ {', '.join(self.of.keys)} }}"
        return self.of.form


Shape = Reader | Table | MapOf | ListOf


def walk(shape: Shape, raw: object, path: str, problems: Problems) -> Any:
    """The value of `raw` by `shape`; each fault goes to `problems` and leaves a gap."""
    match shape:
        case Table():
            return _walk_table(shape, raw, path, problems)
        case MapOf():
            return _walk_map(shape, raw, path, problems)
        case ListOf():
            return _walk_list(shape, raw, path, problems)
        case _:
            try:
                return shape.read(raw)
            except Wrong as wrong:
                problems.add(path, str(wrong))
                return _BROKEN


def _walk_table(table: Table, raw: object, path: str, problems: Problems) -> Any:
    if not isinstance(raw, dict):
        problems.add(path, f"is {kind_of(raw)}; write a table with {', '.join(table.keys)}")
        return _BROKEN
    for name in raw:
        if name not in table.keys:
            problems.add(join(path, name), f"is not a known key; {suggestion(name, table.keys)}")
    values: Values = {}
    for name, key in table.keys.items():
        where = join(path, name)
        if name in raw and (key.later or key.shape is None):
            problems.add(where, "is not built yet in this version; remove it")
        elif name in raw or key.default not in (REQUIRED, None):
            assert key.shape is not None
            value = walk(key.shape, raw.get(name, key.default), where, problems)
            if value is not _BROKEN:
                values[name] = value
        elif key.default is None:
            values[name] = None
        else:
            problems.add(where, f"is missing; add {name} = {key.example}")
    return values


def _walk_map(shape: MapOf, raw: object, path: str, problems: Problems) -> Any:
    if not isinstance(raw, dict):
        problems.add(path, f"is {kind_of(raw)}; write a table")
        return _BROKEN
    values: Values = {}
    for name, item in raw.items():
        where = join(path, name)
        if not re.fullmatch(shape.names, name):
            problems.add(where, f'"{name}" is not a name here; {shape.say}')
        value = walk(shape.of, item, where, problems)
        # A broken entry stays, without a value: what refers to it is not a second fault.
        values[name] = None if value is _BROKEN else value
    return values


def _walk_list(shape: ListOf, raw: object, path: str, problems: Problems) -> Any:
    if not isinstance(raw, list):
        problems.add(path, f"is {kind_of(raw)}; write a list, like [{shape.form}]")
        return _BROKEN
    values: list[Any] = []
    for index, item in enumerate(raw):
        where = f"{path}[{index}]"
        value = walk(shape.of, item, where, problems)
        if shape.most is not None and index >= shape.most:
            problems.add(where, f"more than {shape.most} is not built yet in this version")
        elif value is not _BROKEN and value in values and not shape.repeats:
            problems.add(where, f"{_quoted(item)} is listed twice; keep one")
        elif value is not _BROKEN:
            values.append(value)
    if len(raw) < shape.least:
        problems.add(path, f"is empty; list at least {shape.least}")
    return tuple(sorted(values) if shape.unordered else values)


def _quoted(item: object) -> str:
    return f'"{item}"' if isinstance(item, str) else "this"
