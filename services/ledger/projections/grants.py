"""The statement by grant: one row for each lot of credits, and what became of it. Pure.

In every row: granted = available + reserved + (charged - refunded) + expired + clawed + moved.
What a refund gives back of an expired grant moves into a child: that is `moved` of the parent,
and `granted` of the child.
"""

from collections.abc import Callable, Iterable, MutableMapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import orjson

from services.ledger.projections.entries import Data, digits_of

NAME = "grants"

Key = tuple[str, int]
"""The hex digits of the account's uuid, and the number of the grant."""


class Grant(NamedTuple):
    """A row of `grants`, in the order of its columns. Amounts in nanos, JSON as text."""

    account_id: str
    grant_no: int
    partition: int
    position: int
    grant_id: str | None
    source: str
    priority: int
    expires_at: datetime | None
    paid: str | None
    payment: str | None
    pack: str | None
    parent_no: int | None
    reason_code: str | None
    granted_at: datetime
    granted: int
    available: int
    reserved: int = 0
    charged: int = 0
    refunded: int = 0
    expired: int = 0
    clawed: int = 0
    moved: int = 0
    shortfall: int = 0


Rows: TypeAlias = "MutableMapping[Key, Grant]"


def touched(event: Data) -> list[Key]:
    """The grants whose rows this event changes or reads."""
    find = TOUCHED.get(event["type"])
    if find is None:
        return []
    account = digits_of(event["account_id"])
    return [(account, no) for no in find(event["data"]) if no is not None]


def apply(rows: Rows, event: Data) -> None:
    """Change the rows of the grants that an event touches; the others need not be there."""
    change = CHANGES.get(event["type"])
    if change is not None:
        change(rows, event, event["data"])


def _numbers(*fields: str) -> Callable[[Data], list[int | None]]:
    return lambda data: [no for field in fields for no, _ in data[field]]


def _one(data: Data) -> list[int | None]:
    return [data["grant_no"]]


def _of_refund(data: Data) -> list[int | None]:
    child = data["child"]
    return [child["parent_no"] if child else None, *(no for no, _ in data["to"])]


def _add(rows: Rows, event: Data, no: int, **parts: int) -> None:
    key = (digits_of(event["account_id"]), no)
    # The event that granted it could not be read: what the others say of it still counts.
    row = rows.get(key) or _made(event, no, source="unknown", granted=0)
    rows[key] = row._replace(**{name: getattr(row, name) + n for name, n in parts.items()})


def _made(event: Data, no: int, **given: Any) -> Grant:
    nothing: dict[str, Any] = dict.fromkeys(
        ("grant_id", "expires_at", "paid", "payment", "pack", "parent_no", "reason_code")
    )
    return Grant(
        account_id=digits_of(event["account_id"]),
        grant_no=no,
        partition=event["partition"],
        position=event["position"],
        granted_at=datetime.fromisoformat(event["occurred_at"]),
        available=given["granted"],
        **{"priority": 0} | nothing | given,
    )


def _granted(rows: Rows, event: Data, data: Data) -> None:
    key = (digits_of(event["account_id"]), data["grant_no"])
    rows[key] = _made(
        event,
        data["grant_no"],
        grant_id=digits_of(data["grant_id"]),
        source=data["source"],
        priority=data["priority"],
        expires_at=_moment(data["expires_at"]),
        paid=_json(data["paid"]),
        payment=data["payment"],
        pack=data["pack"],
        reason_code=data["reason_code"],
        granted=int(data["amount"]),
    )


def _held(rows: Rows, event: Data, data: Data) -> None:
    for no, part in _parts(data["from"]):
        _add(rows, event, no, available=-part, reserved=part)


def _closed(rows: Rows, event: Data, data: Data) -> None:
    """A hold ends: of what was taken, the part above the hold stands at the end (RSV-3)."""
    above = int(data.get("extra", 0))
    for no, part in reversed(_parts(data.get("taken", ()))):
        beyond = min(part, above)
        above -= beyond
        _add(rows, event, no, reserved=beyond - part, available=-beyond, charged=part)
    for no, part in _parts(data["returned"]):
        _add(rows, event, no, reserved=-part, available=part)


def _refunded(rows: Rows, event: Data, data: Data) -> None:
    child = data["child"]
    for no, part in _parts(data["to"]):
        if child is None or child["grant_no"] != no:
            _add(rows, event, no, available=part, refunded=part)
            continue
        _add(rows, event, child["parent_no"], moved=part, refunded=part)
        account = digits_of(event["account_id"])
        parent = rows[account, child["parent_no"]]
        rows[account, no] = _made(
            event,
            no,
            grant_id=digits_of(child["grant_id"]),
            source=parent.source,
            priority=parent.priority,
            expires_at=_moment(child["expires_at"]),
            payment=parent.payment,
            parent_no=parent.grant_no,
            reason_code=data["reason_code"],
            granted=part,
        )


def _expired(rows: Rows, event: Data, data: Data) -> None:
    amount = int(data["amount"])
    _add(rows, event, data["grant_no"], available=-amount, expired=amount)


def _clawed(rows: Rows, event: Data, data: Data) -> None:
    if data["grant_no"] is not None:
        amount, lost = int(data["amount"]), int(data["shortfall"])
        _add(rows, event, data["grant_no"], available=-amount, clawed=amount, shortfall=lost)


def _reversed(rows: Rows, event: Data, data: Data) -> None:
    if data["grant_no"] is not None:
        amount, lost = int(data["amount"]), int(data["shortfall_cancelled"])
        _add(rows, event, data["grant_no"], available=amount, clawed=-amount, shortfall=-lost)


def _parts(allocation: Iterable[tuple[int, str]]) -> list[tuple[int, int]]:
    return [(no, int(part)) for no, part in allocation]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


TOUCHED: dict[str, Callable[[Data], list[int | None]]] = {
    "CreditsGranted": _one,
    "CreditsReserved": _numbers("from"),
    "ReservationExtended": _numbers("from"),
    "CreditsCharged": _numbers("taken", "returned"),
    "CreditsReleased": _numbers("returned"),
    "ReservationExpired": _numbers("taken", "returned"),
    "CreditsRefunded": _of_refund,
    "CreditsExpired": _one,
    "CreditsClawedBack": _one,
    "ClawbackReversed": _one,
}
CHANGES: dict[str, Callable[[Rows, Data, Data], None]] = {
    "CreditsGranted": _granted,
    "CreditsReserved": _held,
    "ReservationExtended": _held,
    "CreditsCharged": _closed,
    "CreditsReleased": _closed,
    "ReservationExpired": _closed,
    "CreditsRefunded": _refunded,
    "CreditsExpired": _expired,
    "CreditsClawedBack": _clawed,
    "ClawbackReversed": _reversed,
}
