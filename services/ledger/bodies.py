"""Events as the bytes that are stored, published and hashed, each with the hash before it."""

from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from libs.events.commands import Command
from libs.events.upcasters import NEWEST
from services.ledger.domain.state import Event
from services.ledger.slot import Slot

BODY_MAX: Final = 16 * 1024
"""Bytes of an event's body (design: fixed before the first event)."""


class BodyTooLarge(ValueError):
    """An event would exceed BODY_MAX; its command is refused alone."""


class Log(NamedTuple):
    """Where the log of a partition ends, and which history it belongs to."""

    partition: int
    incarnation: int
    position: int


def chained(
    command: Command, slot: Slot, events: tuple[Event, ...], log: Log
) -> list[tuple[bytes, bytes]]:
    """The canonical bytes of a command's events as they follow on each other, and their hashes.

    Raises BodyTooLarge.
    """
    head, made = slot.head, []
    for offset, event in enumerate(events, start=1):
        raw = orjson.dumps(
            {
                "account_id": event.account_id,
                "causation": command.causation,
                "command_id": command.caller_id,
                "correlation_id": command.correlation_id,
                "data": event.data,
                "incarnation": log.incarnation,
                "occurred_at": event.occurred_at,
                "partition": log.partition,
                "position": log.position + offset,
                "prev": head.hex(),
                "traceparent": command.traceparent,
                "type": event.type,
                "type_version": NEWEST[event.type],
                "version": slot.version + offset,
            },
            option=orjson.OPT_SORT_KEYS,
        )
        if len(raw) > BODY_MAX:
            raise BodyTooLarge(f"{event.type} would have {len(raw)} bytes, {BODY_MAX} are allowed")
        head = sha256(raw).digest()
        made.append((raw, head))
    return made
