"""Server-sent events as bytes: cut into whole events, changed by nobody."""

import re
from typing import Final

# One line end directly after another. A CR before LF is one line end, never two.
_BLANK: Final = re.compile(rb"\r\n(?:\r\n|\n|\r)|\n(?:\r\n|\n|\r)|\r(?:\r\n|\r)")
_LINES: Final = re.compile(rb"\r\n|\n|\r")


class EventTooLargeError(Exception):
    """An event longer than the limit: nothing a client could use, and it would fill the memory."""


class Splitter:
    """Cuts a byte stream at blank lines; `b"".join` of all events and the rest is the stream."""

    def __init__(self, largest: int = 16 * 1024 * 1024) -> None:
        self._largest = largest
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes, each with its blank line.

        Raises:
            EventTooLargeError: an event is longer than the limit.
        """
        buffer = self._rest + data if self._rest else data
        # What was searched before holds no blank line, but may hold the first part of one.
        found = max(0, len(self._rest) - 3)
        events: list[bytes] = []
        start = 0
        for match in _BLANK.finditer(buffer, found):
            if match.end() == len(buffer) and buffer.endswith(b"\r"):
                break  # an LF may follow
            events.append(buffer[start : match.end()])
            start = match.end()
        self._rest = buffer[start:]
        if len(self._rest) > self._largest:
            raise EventTooLargeError
        return events

    def rest(self) -> bytes:
        """What came after the last whole event; then nothing."""
        rest, self._rest = self._rest, b""
        return rest


def data_of(event: bytes) -> bytes:
    """The event's data: its `data` lines, joined by line feeds."""
    values = [
        line[6:] if line[5:6] == b" " else line[5:]
        for line in _LINES.split(event)
        if line.startswith(b"data:")
    ]
    return b"\n".join(values)
