"""Instants in messages: RFC 3339, UTC, six decimals, `Z`; texts sort like the instants."""

import re
from datetime import UTC, datetime
from typing import Final

PATTERN: Final = (
    "^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$"  # years 2000 to 2999
)
_TEXT: Final = re.compile(PATTERN.removesuffix("$"))


def to_text(moment: datetime) -> str:
    """The text of an aware moment; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def from_text(text: str) -> datetime:
    """The aware UTC moment of a text in exactly our form; ValueError for any other form."""
    if _TEXT.fullmatch(text) is None:
        raise ValueError(f"not a time: {text[:40]!r}")
    return datetime.fromisoformat(text)
