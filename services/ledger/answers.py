"""Replies: pure functions of a command's own events, so a repeat gets the first reply again."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from services.ledger.domain.state import Conflict, Data, Declined, Refusal

Answer = dict[str, Any]


class Recorded(NamedTuple):
    """An event as it stands in the log."""

    position: int
    type: str
    data: Data
    incarnation: int = 1


class Told(Protocol):
    """What a reply needs of an event: of one in the log, or of one about to be written."""

    @property
    def type(self) -> str: ...
    @property
    def data(self) -> Data: ...


def accepted(
    kind: str, account_id: str, incarnation: int, events: Sequence[Told], position: int
) -> Answer:
    """The reply to an accepted command. `position` is that of its last event."""
    one = REPLIES.get(kind)
    if one is not None:
        reply, build, primary = one
        data = build(_find(events, primary).data)
    else:
        reply, name, add_up = SUMMED[kind]
        data = add_up([event.data for event in events if event.type == name])
    for event in reversed(events):
        after = event.data
        if "available" in after:
            data["available"] = after["available"]
            data["reserved"] = after["reserved"]
            break
    return {
        "reply": reply,
        "account_id": account_id,
        "incarnation": incarnation,
        "position": position,
        "event_count": len(events),
        "data": data,
    }


def refused(refusal: Refusal, account_id: str, incarnation: int) -> Answer:
    """The reply to a refusal: nothing was written, so it names no position of its own."""
    data: Data = {}
    if isinstance(refusal, Declined):
        data = {name: _text(value) for name, value in refusal._asdict().items()}
    elif isinstance(refusal, Conflict):
        data = {"code": refusal.code, "first_position": refusal.first_position}
    return unwritten(type(refusal).__name__, account_id, incarnation, data)


def unwritten(reply: str, account_id: str | None, incarnation: int, data: Data) -> Answer:
    return {
        "reply": reply,
        "account_id": account_id,
        "incarnation": incarnation,
        "position": None,
        "event_count": 0,
        "data": data,
    }


def _text(value: object) -> str | None:
    """Amounts leave as digit strings; codes and times are texts already."""
    return None if value is None else str(value)


def _find(events: Sequence[Told], types: tuple[str, ...]) -> Told:
    for event in events:
        if event.type in types:
            return event
    raise LookupError(f"none of {types} among {[event.type for event in events]}")


def _settled(data: Data) -> Data:
    released = sum(int(part) for _, part in data["returned"])
    flags = []
    if data["reserved_was"] == "0":
        flags.append("late")
    if data["loss_kind"] == "overrun" or (data["extra"] != "0" and "late" not in flags):
        flags.append("overrun")
    if data["basis"] == "estimate":
        flags.append("estimated")
    return {
        "res": data["res"],
        "charge": data["charge"],
        "released": str(released),
        "loss": data["loss"],
        "flags": flags,
    }


def _pick(*names: str) -> Callable[[Data], Data]:
    return lambda data: {name: data[name] for name in names}


def _released(data: Data) -> Data:
    return {"res": data["res"], "released": data["amount"]}


def _expired(data: Data) -> Data:
    released = sum(int(part) for _, part in data["returned"])
    return {"res": data["res"], "released": str(released)}


def _attempt(data: Data) -> Data:
    return {
        "attempt_id": data.get("attempt_id"),
        "next_at": data.get("next_at"),
        "suspended": data.get("suspended"),
    }


def _refunded(parts: Sequence[Data]) -> Data:
    children = [part["child"] for part in parts if part["child"] is not None]
    return {
        "res": parts[0]["res"],
        "refund_no": parts[0]["refund_no"],
        "amount": _sum(parts, "amount"),
        "child": children[0] if children else None,
    }


def _clawed(parts: Sequence[Data]) -> Data:
    return {
        "cause": parts[0]["cause"],
        "payment": parts[0]["payment"],
        "grants": [part["grant_no"] for part in parts],
        **{name: _sum(parts, name) for name in ("amount", "due", "shortfall")},
    }


def _unclawed(parts: Sequence[Data]) -> Data:
    amounts = ("amount", "due_cancelled", "shortfall_cancelled")
    return {
        "cause": parts[0]["cause"],
        "grants": [part["grant_no"] for part in parts],
        **{name: _sum(parts, name) for name in amounts},
    }


def _sum(parts: Sequence[Data], name: str) -> str:
    return str(sum(int(part[name]) for part in parts))


SUMMED: dict[str, tuple[str, str, Callable[[Sequence[Data]], Data]]] = {
    "Refund": ("Refunded", "CreditsRefunded", _refunded),
    "Clawback": ("ClawedBack", "CreditsClawedBack", _clawed),
    "ReverseClawback": ("Reversed", "ClawbackReversed", _unclawed),
}
"""Commands that may write several events of one type: their reply adds them up."""

REPLIES: dict[str, tuple[str, Callable[[Data], Data], tuple[str, ...]]] = {
    "OpenAccount": ("Opened", _pick("unit", "plan"), ("AccountOpened",)),
    "ChangePlan": ("PlanSet", _pick("plan"), ("PlanChanged",)),
    "CloseAccount": ("Closed", _pick("reason_code"), ("AccountClosed",)),
    "SetSpendLimits": (
        "LimitsSet",
        lambda _: {"key_id": None, "expires_at": None},
        ("SpendLimitsSet",),
    ),
    "ExpireGrant": ("Released", lambda _: {}, ("CreditsExpired",)),
    "Extend": (
        "Extended",
        _pick("res", "total", "expires_at"),
        ("ReservationExtended",),
    ),
    "FreezeAccount": ("Frozen", _pick("reason"), ("AccountFrozen",)),
    "UnfreezeAccount": ("Unfrozen", _pick("reason"), ("AccountUnfrozen",)),
    "IssueKey": ("Issued", _pick("key_id", "expires_at"), ("KeyIssued",)),
    "RevokeKey": (
        "Revoked",
        lambda d: {"key_id": d["key_id"], "expires_at": None},
        ("KeyRevoked",),
    ),
    "GrantCredits": (
        "Granted",
        _pick("grant_id", "grant_no", "expires_at"),
        ("CreditsGranted",),
    ),
    "Reserve": ("Reserved", _pick("res", "amount", "expires_at"), ("CreditsReserved",)),
    "Settle": ("Settled", _settled, ("CreditsCharged",)),
    "Release": ("Released", _released, ("CreditsReleased",)),
    "Attach": (
        "Attached",
        _pick("res", "call_id", "cost_bound", "until"),
        ("CallAttached",),
    ),
    "Detach": ("Detached", _pick("res", "call_id", "cost"), ("CallDetached",)),
    "ExpireReservation": ("Released", _expired, ("ReservationExpired",)),
    "PublishCatalogue": ("Published", _pick("hash"), ("CataloguePublished",)),
    "ConfigureRecharge": ("Configured", _attempt, ("RechargeConfigured",)),
    "StartRecharge": ("Started", _attempt, ("RechargeStarted",)),
    "RecordRechargeFailure": ("FailureRecorded", _attempt, ("RechargeFailed",)),
    "ResumeRecharge": ("Resumed", _attempt, ("RechargeResumed",)),
}
"""Per command: the reply's name, its data, and the event it is read from."""
