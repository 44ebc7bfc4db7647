"""What makes two commands the same: a hash over the fields that decide."""

import hashlib
from datetime import datetime
from typing import Any, Final, get_args

import orjson
from pydantic.fields import FieldInfo

from libs.events.codec import CANONICAL
from libs.events.commands import COMMANDS, Command, CommandData
from libs.events.fields import Digits, Message
from libs.events.times import to_text

_PLAIN_TYPES: Final = frozenset({str, int, bool, type(None)})


def fingerprint(command: Command) -> bytes:
    """The 32 bytes two commands share when they ask for the same.

    SHA-256 over the canonical bytes of the kind and the data's `facts`, as they travel.
    Deadlines, correlation, traces, notes and routes never count.
    """
    values = command.data.__dict__  # where pydantic keeps the fields; attributes cost more
    body: dict[str, Any] = {"kind": command.kind}
    for field, name, is_amount in _FACTS[command.kind]:
        value = values[field]
        if type(value) not in _PLAIN_TYPES:
            body[name] = _plain(value)
        else:
            body[name] = str(value) if is_amount and value is not None else value
    once = values.get("once")
    if once is not None:  # who opened a reservation first; else as before there was such a field
        body["once"] = once
    # As `canonical`, without its search for floats: no field of a command can hold one.
    return hashlib.sha256(orjson.dumps(body, option=CANONICAL)).digest()


def fact_names(kind: str) -> tuple[str, ...]:
    """The names, as they travel, of the fields that count for a kind."""
    return tuple(name for _, name, _ in _FACTS[kind])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, Message):
        return orjson.loads(value.model_dump_json())
    return value


def _is_amount(field: FieldInfo) -> bool:
    """Whether the field travels as a digit string, bare or as one that may be null."""
    marks = [*field.metadata]
    for part in get_args(field.annotation):
        marks += getattr(part, "__metadata__", ())
    return any(isinstance(mark, Digits) for mark in marks)


def _facts(cls: type[Command]) -> tuple[tuple[str, str, bool], ...]:
    """Per fact: the attribute, its name on the wire, whether it is an amount."""
    data = cls.model_fields["data"].annotation
    if not (isinstance(data, type) and issubclass(data, CommandData)):
        raise TypeError(f"{cls.__name__} has no data of its own")
    fields = data.model_fields
    return tuple(
        (name, fields[name].alias or name, _is_amount(fields[name])) for name in data.facts
    )


_FACTS: Final = {kind: _facts(cls) for kind, cls in COMMANDS.items()}
