"""Postings: each event that moves credits, as lines of a double-entry book that sum to zero.

Accounts: `issued:<source>` (what was ever given out, negative), `available`, `reserved`,
`consumed` and `margin` (what was charged), `expired`, `clawed_back`, `operator_loss:<kind>`
(late, overrun, unsettled, clawback). Statement, invariants and books are folds of these.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

Data = Mapping[str, Any]
Line = tuple[str, int]


class Posting(NamedTuple):
    """One line: an amount (nanos, signed) on an account, in a commodity."""

    account: str
    amount: int
    unit: str


def postings(type_name: str, data: Data, unit: str) -> list[Posting]:
    """The lines of an event, without those of nothing; none for a type that moves no credits.

    `data` is the event's data as it stands in the body. The lines sum to zero for every event
    that is consistent in itself.
    """
    if type_name not in _RULES:
        return []
    return [
        Posting(account, amount, unit) for account, amount in lines_of(type_name, data) if amount
    ]


def lines_of(type_name: str, data: Data) -> list[Line]:
    """The (account, amount) lines of an event that has postings, also those of nothing."""
    return _RULES[type_name].lines(data)


def postings_rule(type_name: str) -> str | None:
    """The lines of a type in words, for the reference; None for a type without postings."""
    rule = _RULES.get(type_name)
    return rule.words if rule else None


def _sum(allocation: list[list[Any]]) -> int:
    return sum(int(part) for _, part in allocation)


def _granted(data: Data) -> list[Line]:
    amount = int(data["amount"])
    return [(f"issued:{data['source']}", -amount), ("available", amount)]


def _reserved(data: Data) -> list[Line]:
    amount = int(data["amount"])
    return [("available", -amount), ("reserved", amount)]


def _extended(data: Data) -> list[Line]:
    added = int(data["added"])
    return [("available", -added), ("reserved", added)]


def _charged(data: Data) -> list[Line]:
    margin, loss = int(data["margin"]), int(data["loss"])
    return [
        ("reserved", -int(data["reserved_was"])),
        ("available", _sum(data["returned"]) - int(data["extra"])),
        ("consumed", int(data["charge"]) + loss - margin),
        ("margin", margin),
        (f"operator_loss:{data['loss_kind']}", -loss),
    ]


def _released(data: Data) -> list[Line]:
    amount = int(data["amount"])
    return [("reserved", -amount), ("available", amount)]


def _reservation_expired(data: Data) -> list[Line]:
    margin, loss = int(data["margin"]), int(data["loss"])
    return [
        ("reserved", -int(data["amount"])),
        ("available", _sum(data["returned"])),
        ("consumed", int(data["charge"]) + loss - margin),
        ("margin", margin),
        ("operator_loss:unsettled", -loss),
    ]


def _refunded(data: Data) -> list[Line]:
    amount, margin = int(data["amount"]), int(data["margin"])
    return [("consumed", margin - amount), ("margin", -margin), ("available", amount)]


def _expired(data: Data) -> list[Line]:
    amount = int(data["amount"])
    return [("available", -amount), ("expired", amount)]


def _clawed_back(data: Data) -> list[Line]:
    return _back(int(data["amount"]), int(data["shortfall"]))


def _clawback_reversed(data: Data) -> list[Line]:
    return _back(-int(data["amount"]), -int(data["shortfall_cancelled"]))


def _back(amount: int, shortfall: int) -> list[Line]:
    return [
        ("available", -amount),
        ("operator_loss:clawback", -shortfall),
        ("clawed_back", amount + shortfall),
    ]


class _Rule(NamedTuple):
    lines: Callable[[Data], list[Line]]
    words: str


_RULES: Final[dict[str, _Rule]] = {
    "CreditsGranted": _Rule(_granted, "issued:source -amount, available +amount"),
    "CreditsReserved": _Rule(_reserved, "available -amount, reserved +amount"),
    "ReservationExtended": _Rule(_extended, "available -added, reserved +added"),
    "CreditsCharged": _Rule(
        _charged,
        "reserved -reserved_was, available +(returned - extra), consumed +(charge + loss - margin),"
        " margin +margin, operator_loss:loss_kind -loss",
    ),
    "CreditsReleased": _Rule(_released, "reserved -amount, available +amount"),
    "ReservationExpired": _Rule(
        _reservation_expired,
        "reserved -amount, available +returned, consumed +(charge + loss - margin),"
        " margin +margin, operator_loss:unsettled -loss",
    ),
    "CreditsRefunded": _Rule(
        _refunded, "consumed -(amount - margin), margin -margin, available +amount"
    ),
    "CreditsExpired": _Rule(_expired, "available -amount, expired +amount"),
    "CreditsClawedBack": _Rule(
        _clawed_back,
        "available -amount, operator_loss:clawback -shortfall, clawed_back +(amount + shortfall)",
    ),
    "ClawbackReversed": _Rule(
        _clawback_reversed,
        "available +amount, operator_loss:clawback +shortfall_cancelled,"
        " clawed_back -(amount + shortfall_cancelled)",
    ),
}
