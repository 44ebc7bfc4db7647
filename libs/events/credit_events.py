"""Events of grants: credits that came in, came back, ran out or were taken back."""

from typing import Literal

from libs.events.event_base import Event, MoneyData
from libs.events.fields import (
    Allocation,
    AttemptId,
    Child,
    ClawbackCause,
    Fee,
    Flag,
    GrantId,
    GrantNo,
    GrantSource,
    Instant,
    Name,
    Nanos,
    NanosOrZero,
    NoteId,
    Ordinal,
    Paid,
    Priority,
    ReasonCode,
    Reference,
    ReservationId,
    Sha256,
    SignedNanos,
)


class CreditsGrantedData(MoneyData):
    grant_id: GrantId
    grant_no: GrantNo
    source: GrantSource
    amount: Nanos
    priority: Priority
    expires_at: Instant | None
    paid: Paid | None
    payment: Reference | None
    pack: Name | None
    attempt_id: AttemptId | None
    catalogue: Sha256 | None
    reason_code: ReasonCode | None
    note_id: NoteId | None


class CreditsGranted(Event):
    type: Literal["CreditsGranted"] = "CreditsGranted"
    data: CreditsGrantedData


class CreditsRefundedData(MoneyData):
    """`margin`: the part of `amount` that had been our margin."""

    res: ReservationId
    refund_no: Ordinal
    amount: Nanos
    margin: SignedNanos
    whole: Flag
    to: Allocation
    child: Child | None
    fee_reversed: Fee | None
    reason_code: ReasonCode
    note_id: NoteId | None


class CreditsRefunded(Event):
    type: Literal["CreditsRefunded"] = "CreditsRefunded"
    data: CreditsRefundedData


class CreditsExpiredData(MoneyData):
    """`cause`: the shelf life ended, or the part came back after it had ended."""

    grant_no: GrantNo
    amount: Nanos
    cause: Literal["shelf", "returned"]


class CreditsExpired(Event):
    type: Literal["CreditsExpired"] = "CreditsExpired"
    data: CreditsExpiredData


class CreditsClawedBackData(MoneyData):
    """What a claim takes of one grant, of a `target` that is the whole payment's.

    `amount` is taken now and `shortfall` is lost, both on top of earlier events; `due` is what the
    grant still owes after this event, taken as soon as it comes back from a hold.
    """

    cause: ClawbackCause
    payment: Reference | None
    grant_no: GrantNo | None
    target: NanosOrZero
    amount: NanosOrZero
    due: NanosOrZero
    shortfall: NanosOrZero


class CreditsClawedBack(Event):
    type: Literal["CreditsClawedBack"] = "CreditsClawedBack"
    data: CreditsClawedBackData


class ClawbackReversedData(MoneyData):
    cause: ClawbackCause
    payment: Reference | None
    grant_no: GrantNo | None
    amount: NanosOrZero
    due_cancelled: NanosOrZero
    shortfall_cancelled: NanosOrZero


class ClawbackReversed(Event):
    type: Literal["ClawbackReversed"] = "ClawbackReversed"
    data: ClawbackReversedData
