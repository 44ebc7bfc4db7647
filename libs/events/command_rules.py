"""Rules between the fields of one command, beyond what each field allows by itself."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.events.commands import (
    Clawback,
    Command,
    GrantCredits,
    PublishCatalogue,
    Reserve,
    Settle,
)


def rule_problem(command: Command) -> str | None:
    """What contradicts itself in a command, None when nothing does."""
    rule = _RULES.get(command.kind)  # by kind: isinstance on a pydantic class is slow
    return rule(command) if rule else None


def _grant_problem(command: GrantCredits) -> str | None:
    """Where credits come from says what must be known of them (CRD-2)."""
    data = command.data
    for name in _NEEDS.get(data.source, ()):
        if getattr(data, name) is None:
            return f"source {data.source} needs {name}"
    return None


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "admin": ("reason_code",),
    "import": ("reason_code",),
    "purchase": ("paid", "payment"),
    "recharge": ("paid", "payment", "attempt_id"),
    "subscription": ("expires_at",),  # the credits of a period end with it
}


def _reserve_problem(command: Reserve) -> str | None:
    return None if command.data.at_least <= command.data.amount else "at_least above amount"


def _settle_problem(command: Settle) -> str | None:
    return None if command.data.margin <= command.data.charge else "margin above charge"


def _clawback_problem(command: Clawback) -> str | None:
    data = command.data
    if data.amount is not None:
        if data.returned is None and data.paid is None:
            return None
        return "either amount, or returned and paid"
    if data.returned is None or data.paid is None:
        return "either amount, or returned and paid"
    if data.payment is None:
        return "returned and paid need a payment"
    return None if data.paid >= 1 and data.returned <= data.paid else "returned above paid"


def _publish_problem(command: PublishCatalogue) -> str | None:
    data = command.data
    if data.hash in data.withdraws:
        return "a catalogue withdraws itself"
    if data.text is None or hashlib.sha256(data.text.encode()).hexdigest() == data.hash:
        return None
    return "hash is not the SHA-256 of text"


_RULES: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "GrantCredits": _grant_problem,
    "Reserve": _reserve_problem,
    "Settle": _settle_problem,
    "Clawback": _clawback_problem,
    "PublishCatalogue": _publish_problem,
}
