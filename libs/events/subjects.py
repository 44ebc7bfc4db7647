"""NATS subjects and stream names. No account id ever stands in one."""

import re
from functools import lru_cache
from typing import Final

USE: Final = "use"
MONEY: Final = "money"
RECHARGE: Final = "recharge"
ADMIN: Final = "admin"
COMMAND_CLASSES: Final = frozenset({USE, MONEY, RECHARGE, ADMIN})

QUERY_NAMES: Final = (
    "installation",
    "key_by_hash",
    "balance",
    "entries",
    "request",
    "events",
    "recharge",
    "reservations",
    "keys",
    "catalogues",
    "catalogue",
    "grants",
    "requests",
    "usage",
    "fees",
    "accounts",
    "limits",
)
PAYMENTS_REQUESTS: Final = (
    "packs",
    "create_checkout",
    "order",
    "orders",
    "payment_method",
    "create_setup",
    "portal_link",
)

RECHARGE_STREAM: Final = "RECHARGE"
QUARANTINE_STREAM: Final = "QUARANTINE"
RECHARGE_SWEEP: Final = "recharge.sweep"

ALL_COMMANDS: Final = "ledger.commands.>"
ALL_QUERIES: Final = "ledger.queries.>"
ALL_COMMITTED: Final = "ledger.committed.*"
ALL_QUARANTINE: Final = "quarantine.*.*"
ALL_PAYMENTS_REQUESTS: Final = "payments.requests.*"

LEDGER_NOW_HEADER: Final = "Farebox-Ledger-Now"
POSITION_HEADER: Final = "Farebox-Position"

_COMMAND: Final = re.compile(r"ledger\.commands\.(0|[1-9][0-9]{0,4})\.([a-z]+)")
_QUERY: Final = re.compile(r"ledger\.queries\.(0|[1-9][0-9]{0,4})\.([a-z_]+)")


def command(partition: int, cls: str) -> str:
    return f"ledger.commands.{partition}.{cls}"


def commands(partition: int) -> str:
    """Every class of one partition, for the intake's subscription."""
    return f"ledger.commands.{partition}.*"


def query(partition: int, name: str) -> str:
    return f"ledger.queries.{partition}.{name}"


def committed(partition: int) -> str:
    """The hint that new events are in the log; losing one costs a poll interval, no more."""
    return f"ledger.committed.{partition}"


def leader(partition: int) -> str:
    """Where the leader of a partition answers its standbys' pings."""
    return f"ledger.leader.{partition}"


def event(partition: int, type_name: str) -> str:
    return f"ledger.events.{partition}.{type_name}"


def events(partition: int) -> str:
    """Every event of one partition: what its stream keeps."""
    return f"ledger.events.{partition}.*"


def stream(partition: int) -> str:
    """The name of the stream in which sequence == position."""
    return f"LEDGER_{partition}"


def quarantine(service: str, partition: int) -> str:
    return f"quarantine.{service}.{partition}"


def payments_request(name: str) -> str:
    return f"payments.requests.{name}"


@lru_cache(maxsize=1024)
def parse_command_subject(subject: str) -> tuple[int, str] | None:
    """The partition and class of a command's subject, None for any other subject."""
    match = _COMMAND.fullmatch(subject)
    if match is None or match[2] not in COMMAND_CLASSES:
        return None
    return int(match[1]), match[2]


def parse_query_subject(subject: str) -> tuple[int, str] | None:
    """The partition and name of a query's subject, None for any other subject."""
    match = _QUERY.fullmatch(subject)
    if match is None or match[2] not in QUERY_NAMES:
        return None
    return int(match[1]), match[2]
