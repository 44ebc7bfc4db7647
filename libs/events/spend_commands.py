"""Commands of a paid request: hold, extend, charge, give back, attach."""

from typing import ClassVar, Literal

from pydantic import Field

from libs.events.command_base import USE_ONLY, CommandData, Dated, Undated
from libs.events.fields import (
    Attempts,
    CallId,
    Fee,
    Hold,
    HttpStatus,
    Instant,
    KeyId,
    Name,
    Nanos,
    NanosOrZero,
    Once,
    Pico,
    ReasonCode,
    ReservationId,
    Sha256,
    ShortName,
    SignedNanos,
    Tags,
    Usage,
)
from libs.events.subjects import ADMIN, USE


class ReserveData(CommandData):
    newer: ClassVar = frozenset({"once"})
    facts: ClassVar = (
        "key_id",
        "operation",
        "amount",
        "at_least",
        "hold_ms",
        "at_deadline",
        "catalogue",
        "fee",
        "attached_cost_ceiling",
    )

    key_id: KeyId
    operation: Name
    surface: ShortName
    amount: Nanos
    at_least: Nanos
    hold_ms: Hold
    at_deadline: Literal["release", "charge"]
    catalogue: Sha256
    fee: Fee | None = None
    attached_cost_ceiling: Nanos | None = None
    tags: Tags = Field(default_factory=dict)
    once: Once | None = None
    """Drawn anew for each try to open one reservation: who opened it is told its first reply,
    another a conflict (ADR 24). Counts for the fingerprint where it is given."""


class Reserve(Dated):
    """Hold the most a request can cost. Its caller id is the reservation's id."""

    senders: ClassVar = USE_ONLY

    kind: Literal["Reserve"] = "Reserve"
    caller_id: ReservationId
    data: ReserveData


class ExtendData(CommandData):
    facts: ClassVar = ("res", "total", "hold_ms", "used_so_far")

    res: ReservationId
    total: Nanos
    hold_ms: Hold
    used_so_far: NanosOrZero


class Extend(Dated):
    """Raise the hold to a new total, and say what was used until now."""

    senders: ClassVar = USE_ONLY
    caller_form: ClassVar = "extend:{res}:{n}"

    kind: Literal["Extend"] = "Extend"
    data: ExtendData


class SettleData(CommandData):
    facts: ClassVar = ("res", "charge", "margin", "basis")

    res: ReservationId
    charge: NanosOrZero
    margin: SignedNanos
    basis: Literal["actual", "estimate", "fixed"]
    cost_pico: Pico | None = None
    usage: Usage = Field(default_factory=dict)
    model: Name | None = None
    route: Name | None = None
    route_reason: Name | None = None
    attempts: Attempts = ()
    finish: ShortName | None = None
    status: HttpStatus | None = None


class Settle(Undated):
    """Charge what was used and give the rest back."""

    senders: ClassVar = USE_ONLY
    caller_form: ClassVar = "{res}"

    kind: Literal["Settle"] = "Settle"
    data: SettleData


class ReleaseData(CommandData):
    facts: ClassVar = ("res",)

    res: ReservationId
    reserve_deadline: Instant | None = None
    reason_code: ReasonCode
    route: Name | None = None
    attempts: Attempts = ()
    status: HttpStatus | None = None


class Release(Undated):
    """Give everything back. Before `reserve_deadline` the Reserve may still be under way."""

    senders: ClassVar = frozenset({USE, ADMIN})
    caller_form: ClassVar = "{res}"

    kind: Literal["Release"] = "Release"
    data: ReleaseData


class AttachData(CommandData):
    facts: ClassVar = ("res", "call_id", "cost_bound", "hold_ms")

    res: ReservationId
    call_id: CallId
    cost_bound: NanosOrZero
    hold_ms: Hold


class Attach(Dated):
    """Run a call under an open reservation; it charges nothing itself."""

    senders: ClassVar = USE_ONLY
    caller_form: ClassVar = "attach:{call_id}"

    kind: Literal["Attach"] = "Attach"
    data: AttachData


class DetachData(CommandData):
    facts: ClassVar = ("res", "call_id", "cost")

    res: ReservationId
    call_id: CallId
    cost: NanosOrZero
    usage: Usage = Field(default_factory=dict)
    model: Name | None = None
    route: Name | None = None


class Detach(Undated):
    """Record what an attached call really cost."""

    senders: ClassVar = USE_ONLY
    caller_form: ClassVar = "detach:{call_id}"

    kind: Literal["Detach"] = "Detach"
    data: DetachData
