"""The statement: each money event becomes one or two lines. Pure; docs/concepts/statement.md.

The amounts of an account's lines add up to its `available`; those of its `reservation` and
`release` lines alone add up to minus its `reserved`. So a settled hold is given back whole
(`release`) and the charge is a line of its own with the amount that was charged.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

NAME = "entries"

Data = Mapping[str, Any]


class Change(NamedTuple):
    """What one line does: `amount` to available, `held` to reserved, in nanos."""

    type: str
    amount: int
    held: int = 0
    reason_code: str | None = None


class Entry(NamedTuple):
    """A line as the projector stores it; `available` and `reserved` are those after the line.

    Ids are the 32 hex digits of their uuids, which PostgreSQL takes as they are.
    """

    account_id: str
    position: int
    line: int
    partition: int
    occurred_at: datetime
    type: str
    amount: int
    available: int
    reserved: int
    res: str | None
    grant_no: int | None
    key_id: str | None
    operation: str | None
    source: str | None
    reason_code: str | None


def lines(event: Data) -> list[Entry]:
    """The lines of one event (its decoded body), none when it moves no money of the account."""
    describe = LINES.get(event["type"])
    if describe is None:
        return []
    data = event["data"]
    changes = describe(data)
    available = int(data["available"]) - sum(change.amount for change in changes)
    reserved = int(data["reserved"]) - sum(change.held for change in changes)
    account_id = digits_of(event["account_id"])
    occurred_at = datetime.fromisoformat(event["occurred_at"])
    res, key_id = data.get("res"), data.get("key_id")
    res_uuid = digits_of(res) if res else None
    key_uuid = digits_of(key_id) if key_id else None
    found = []
    for line, change in enumerate(changes):
        available += change.amount
        reserved += change.held
        found.append(
            Entry(
                account_id=account_id,
                position=event["position"],
                line=line,
                partition=event["partition"],
                occurred_at=occurred_at,
                type=change.type,
                amount=change.amount,
                available=available,
                reserved=reserved,
                res=res_uuid,
                grant_no=data.get("grant_no"),
                key_id=key_uuid,
                operation=data.get("operation"),
                source=data.get("source"),
                reason_code=change.reason_code,
            )
        )
    return found


def digits_of(text: str) -> str:
    """The hex digits of the uuid in an id."""
    return text[-32:]


def total(allocation: Iterable[tuple[int, str]]) -> int:
    return sum(int(part) for _, part in allocation)


def _granted(data: Data) -> list[Change]:
    kind = "adjustment" if data["source"] == "admin" else "top_up"
    return [Change(kind, int(data["amount"]), reason_code=data["reason_code"])]


def _reserved(data: Data) -> list[Change]:
    amount = int(data["amount"])
    return [Change("reservation", -amount, amount)]


def _extended(data: Data) -> list[Change]:
    added = int(data["added"])
    return [Change("reservation", -added, added)]


def _charged(data: Data) -> list[Change]:
    hold, charge = int(data["reserved_was"]), int(data["charge"])
    lifted = [Change("release", hold, -hold)] if hold else []
    return [*lifted, Change("charge", -charge, reason_code=data["loss_kind"])]


def _released(data: Data) -> list[Change]:
    amount = int(data["amount"])
    return [Change("release", amount, -amount, data["reason_code"])]


def _expired_hold(data: Data) -> list[Change]:
    hold, charge = int(data["amount"]), int(data["charge"])
    lifted = Change("release", hold, -hold, "unsettled")
    return [lifted, Change("charge", -charge, reason_code="unsettled")] if charge else [lifted]


def _refunded(data: Data) -> list[Change]:
    return [Change("refund", int(data["amount"]), reason_code=data["reason_code"])]


def _expired_grant(data: Data) -> list[Change]:
    return [Change("expiry", -int(data["amount"]), reason_code=data["cause"])]


def _clawed_back(data: Data) -> list[Change]:
    """No line when all of it was spent or is still held: nothing that was available is taken."""
    kind = "adjustment" if data["cause"] in {"adjustment", "write_off"} else "clawback"
    amount = int(data["amount"])
    return [Change(kind, -amount, reason_code=data["cause"])] if amount else []


def _clawback_reversed(data: Data) -> list[Change]:
    amount = int(data["amount"])
    return [Change("clawback", amount, reason_code=data["cause"])] if amount else []


LINES: Mapping[str, Callable[[Data], list[Change]]] = {
    "CreditsGranted": _granted,
    "CreditsReserved": _reserved,
    "ReservationExtended": _extended,
    "CreditsCharged": _charged,
    "CreditsReleased": _released,
    "ReservationExpired": _expired_hold,
    "CreditsRefunded": _refunded,
    "CreditsExpired": _expired_grant,
    "CreditsClawedBack": _clawed_back,
    "ClawbackReversed": _clawback_reversed,
}
