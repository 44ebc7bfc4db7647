"""What each answer of the ledger to StartRecharge means for the next look: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.times import from_text

MISTAKE_WAIT = timedelta(hours=1)
"""After a refusal that only a person can mend; a new fall is looked at at once all the same."""

EXPECTED = frozenset(
    {
        "started",
        "account_closed",
        "account_frozen",
        "recharge_cap_charge",
        "recharge_disabled",
        "recharge_not_needed",
        "recharge_open",
        "recharge_suspended",
        "unknown_account",
    }
)
"""Nothing to do but to look again: the account's standing will tell when."""


@dataclass(frozen=True, slots=True)
class Advice:
    """How to go on: `soon` is a retry, `room` is what a cap leaves until `room_until`."""

    soon: bool = False
    not_before: datetime | None = None
    room: int | None = None
    room_until: datetime | None = None
    mistake: bool = False


def advise(code: str, data: Mapping[str, Any], asked: int, now: datetime) -> Advice:
    """What to do after the answer `code`; `asked` is the price, in nanos of its currency."""
    if code in EXPECTED:
        return Advice()
    if code == "deadline_passed":
        return Advice(soon=True)
    if code == "recharge_too_early":
        until = data.get("until")
        return Advice(not_before=from_text(until) if until else None)
    if code in ("recharge_cap_day", "recharge_cap_month"):
        return Advice(room=_room(data, asked), room_until=_window_end(code, now))
    return Advice(not_before=now + MISTAKE_WAIT, mistake=True)


def _room(data: Mapping[str, Any], asked: int) -> int:
    """What the cap leaves: `required` is what was spent and asked together, `total` the cap."""
    required, cap = data.get("required"), data.get("total")
    if required is None or cap is None:
        return 0
    return max(0, int(cap) - (int(required) - asked))


def _window_end(code: str, now: datetime) -> datetime:
    """The UTC midnight at which the cap's day or month is over."""
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    if code == "recharge_cap_day":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
