"""Events of a paid request."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.event_base import Event, EventData, MoneyData
from libs.events.fields import (
    Allocation,
    Attempts,
    CallId,
    Fee,
    HttpStatus,
    Instant,
    KeyId,
    Name,
    Nanos,
    NanosOrZero,
    Pico,
    ReasonCode,
    ReservationId,
    Sha256,
    ShortName,
    SignedNanos,
    Tags,
    Usage,
    Windows,
)


class CreditsReservedData(MoneyData):
    res: ReservationId
    key_id: KeyId
    operation: Name
    surface: ShortName
    amount: Nanos
    from_: Annotated[Allocation, Field(alias="from")]
    expires_at: Instant
    at_deadline: Literal["release", "charge"]
    catalogue: Sha256
    fee: Fee | None
    attached_cost_ceiling: Nanos | None
    windows: Windows
    tags: Tags


class CreditsReserved(Event):
    type: Literal["CreditsReserved"] = "CreditsReserved"
    data: CreditsReservedData


class ReservationExtendedData(MoneyData):
    res: ReservationId
    total: Nanos
    added: NanosOrZero
    from_: Annotated[Allocation, Field(alias="from")]
    expires_at: Instant
    used_so_far: NanosOrZero


class ReservationExtended(Event):
    type: Literal["ReservationExtended"] = "ReservationExtended"
    data: ReservationExtendedData


class CreditsChargedData(MoneyData):
    """`charge` is what the customer paid.

    `extra`: what it took from available above the reservation; `loss`: what nobody paid.
    """

    res: ReservationId
    reserved_was: NanosOrZero
    charge: NanosOrZero
    margin: SignedNanos
    cost_pico: Pico | None
    basis: Literal["actual", "estimate", "fixed"]
    taken: Allocation
    returned: Allocation
    extra: NanosOrZero
    loss: NanosOrZero
    loss_kind: Literal["overrun", "late"] | None
    fee: Fee | None
    usage: Usage
    model: Name | None
    route: Name | None
    route_reason: Name | None
    attempts: Attempts
    finish: ShortName | None
    status: HttpStatus | None


class CreditsCharged(Event):
    type: Literal["CreditsCharged"] = "CreditsCharged"
    data: CreditsChargedData


class CreditsReleasedData(MoneyData):
    res: ReservationId
    amount: Nanos
    returned: Allocation
    reason_code: ReasonCode
    fee_reversed: Fee | None
    route: Name | None
    attempts: Attempts
    status: HttpStatus | None


class CreditsReleased(Event):
    type: Literal["CreditsReleased"] = "CreditsReleased"
    data: CreditsReleasedData


class ReservationExpiredData(MoneyData):
    """`loss`: what the last extension had used, when the hold is given back all the same."""

    res: ReservationId
    amount: Nanos
    at_deadline: Literal["release", "charge"]
    charge: NanosOrZero
    margin: SignedNanos
    taken: Allocation
    returned: Allocation
    loss: NanosOrZero
    fee_reversed: Fee | None


class ReservationExpired(Event):
    type: Literal["ReservationExpired"] = "ReservationExpired"
    data: ReservationExpiredData


class CallAttachedData(EventData):
    res: ReservationId
    call_id: CallId
    cost_bound: NanosOrZero
    until: Instant


class CallAttached(Event):
    type: Literal["CallAttached"] = "CallAttached"
    data: CallAttachedData


class CallDetachedData(EventData):
    res: ReservationId
    call_id: CallId
    cost: NanosOrZero
    cost_pico: Pico | None
    usage: Usage
    model: Name | None
    route: Name | None


class CallDetached(Event):
    type: Literal["CallDetached"] = "CallDetached"
    data: CallDetachedData
