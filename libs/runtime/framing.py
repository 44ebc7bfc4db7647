"""Messages as the lines of the NATS protocol ("client protocol" on docs.nats.io), many at once."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

log = logging.getLogger(__name__)

Receive = Callable[[str, str, bytes], None]
"""(subject, reply subject or empty, data) → takes the message at once."""


def published(messages: Iterable[tuple[str, bytes]], headers: Mapping[str, str]) -> bytes:
    """(subject, body) messages that all carry the same headers."""
    head = f"NATS/1.0\r\n{_lines(headers)}\r\n".encode()
    parts: list[bytes] = []
    for subject, body in messages:
        parts += _message(subject, head, body)
    return b"".join(parts)


def batched(
    messages: Sequence[tuple[str, bytes]], batch_id: str, first: Mapping[str, str]
) -> bytes:
    """The messages of an atomic batch before its commit; `first` are headers of the first alone.

    None of them asks for an answer: the server checks and answers at the commit.
    """
    start = f"NATS/1.0\r\nNats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: "
    parts: list[bytes] = []
    for number, (subject, body) in enumerate(messages, 1):
        more = _lines(first) if number == 1 else ""
        parts += _message(subject, f"{start}{number}\r\n{more}\r\n".encode(), body)
    return b"".join(parts)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _message(subject: str, head: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """A message without a reply subject; two blanks, as nats-py writes it."""
    line = f"HPUB {subject}  {len(head)} {len(head) + len(body)}\r\n".encode()
    return line, head, body, b"\r\n"


def hand_over(take: Receive, subject: str, reply: str, data: bytes) -> None:
    """Give a sink its message. What it raises is logged: it would end the connection's reading."""
    try:
        take(subject, reply, data)
    except Exception:
        log.exception("a message was not understood")


def taken(data: bytes, sinks: Mapping[bytes, Receive]) -> tuple[int, bool, int, int]:
    """Hand over the whole messages that `data` begins with, to the sinks of their subscriptions.

    Returns where that ended, False if the next message is not all there yet, how many messages
    there were and their bytes.
    """
    start, end, count, size_in_all = 0, len(data), 0, 0
    while data.startswith(b"MSG ", start):
        line = data.find(b"\r\n", start)
        if line < 0:
            return start, False, count, size_in_all
        fields = data[start + 4 : line].split(b" ")
        take = sinks.get(fields[1]) if len(fields) > 2 else None
        if take is None:
            break
        size = int(fields[-1])
        after = line + 4 + size
        if after > end:
            return start, False, count, size_in_all
        reply = fields[2].decode(errors="replace") if len(fields) == 4 else ""
        hand_over(take, fields[0].decode(errors="replace"), reply, data[line + 2 : after - 2])
        count, size_in_all, start = count + 1, size_in_all + size, after
    return start, True, count, size_in_all
