"""Operations whose path has parts of the customer's own, like `/v1/items/{id}/score`.

Matching is strict, on the path as it was sent: a literal part matches itself alone, and a value is
one part of a path and can never become more or another, however often an upstream decodes it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from libs.catalogue import Operation

_SENT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){1,512}")
_NOT_ONE_PART: Final = re.compile(r"[/\\%\x00-\x1f\x7f]")
_UP: Final = ("", ".", "..")


@dataclass(frozen=True, slots=True)
class Found:
    """An operation, and the upstream path with the customer's values in it."""

    operation: Operation
    upstream_path: str


class Templates:
    """All operations with such a path; where two match, the one that is literal first."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._known: dict[tuple[str, int], list[tuple[list[str], Operation]]] = {}
        for operation in operations:
            if not is_template(operation.path):
                continue
            parts = operation.path.split("/")[1:]
            self._known.setdefault((operation.method, len(parts)), []).append((parts, operation))
        for known in self._known.values():
            known.sort(key=lambda one: ([is_template(part) for part in one[0]], one[0]))

    def find(self, method: str, raw_path: bytes) -> Found | None:
        """The operation at a path as it was sent, without its query."""
        sent = raw_path.decode("latin-1").split("/")
        for parts, operation in self._known.get((method, len(sent) - 1), ()):
            values = _values(parts, sent[1:])
            if values is not None and not sent[0]:
                return Found(operation, _filled(operation.upstream_path, values))
        return None


def is_template(path: str) -> bool:
    return "{" in path


def _values(parts: list[str], sent: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for part, given in zip(parts, sent, strict=True):
        if not is_template(part):
            if part != given:
                return None
            continue
        value = _value(given)
        if value is None:
            return None
        values[part] = value
    return values


def _value(given: str) -> str | None:
    """A value, encoded anew; None when it could be anything but one part of a path."""
    if not _SENT.fullmatch(given):
        return None
    try:
        value = unquote_to_bytes(given).decode()
    except UnicodeDecodeError:
        return None
    # Some servers take `..;x` for `..`.
    if _NOT_ONE_PART.search(value) or value.partition(";")[0] in _UP:
        return None
    return quote(value, safe="")


def _filled(path: str, values: Mapping[str, str]) -> str:
    return "/".join(values.get(part, part) for part in path.split("/"))
