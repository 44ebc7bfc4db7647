"""One full example of every message, as it travels."""

from typing import Any

from tests.contract.example_commands import COMMANDS
from tests.contract.example_events import EVENTS
from tests.contract.example_replies import BALANCES, REPLIES
from tests.contract.example_values import (
    ACCOUNT,
    AT,
    ATTEMPT,
    CATALOGUE,
    CHILD,
    EXTERNAL_HASH,
    FEE,
    GRANT,
    KEY,
    LATER,
    NEXT_YEAR,
    NOTE,
    OLD_CATALOGUE,
    OLD_KEY,
    PAID,
    RES,
    SECRET_HASH,
    TAGS,
    TEXT_HASH,
    TRACE,
    TRIES,
    USAGE,
    WINDOWS,
)

__all__ = [
    "ACCOUNT",
    "AT",
    "ATTEMPT",
    "BALANCES",
    "CATALOGUE",
    "CHILD",
    "COMMANDS",
    "DATED",
    "EVENTS",
    "EXTERNAL_HASH",
    "FEE",
    "GRANT",
    "KEY",
    "LATER",
    "NEXT_YEAR",
    "NOTE",
    "OF_THE_PARTITION",
    "OLD_CATALOGUE",
    "OLD_KEY",
    "PAID",
    "REPLIES",
    "RES",
    "SECRET_HASH",
    "TAGS",
    "TEXT_HASH",
    "TRACE",
    "TRIES",
    "USAGE",
    "WINDOWS",
    "command",
    "event",
    "reply",
]

DATED = {"IssueKey", "Reserve", "Extend", "Attach", "StartRecharge"}
OF_THE_PARTITION = {
    "PublishCatalogue",
    "StartIncarnation",
    "CataloguePublished",
    "IncarnationStarted",
}


def command(kind: str) -> dict[str, Any]:
    """The wire form of a command with no field left empty that may be filled."""
    caller_id, data = COMMANDS[kind]
    return {
        "kind": kind,
        "kind_version": 1,
        "caller_id": caller_id,
        "account_id": "part_0" if kind in OF_THE_PARTITION else ACCOUNT,
        "deadline": LATER if kind in DATED else None,
        "correlation_id": RES,
        "causation": "1-0-7",
        "traceparent": TRACE,
        "data": data,
    }


def event(type_name: str) -> dict[str, Any]:
    """The body of an event with no field left empty that may be filled."""
    return {
        "type": type_name,
        "type_version": 1,
        "incarnation": 1,
        "partition": 2,
        "position": 12345,
        "account_id": "part_2" if type_name in OF_THE_PARTITION else ACCOUNT,
        "version": 7,
        "occurred_at": AT,
        "command_id": RES,
        "correlation_id": RES,
        "causation": "1-2-12300",
        "traceparent": TRACE,
        "prev": "8d0a" * 16,
        "data": EVENTS[type_name],
    }


def reply(name: str) -> dict[str, Any]:
    """The wire form of a reply."""
    return {
        "reply": name,
        "account_id": ACCOUNT,
        "incarnation": 1,
        "position": 12345,
        "event_count": 1,
        "data": REPLIES[name],
    }
