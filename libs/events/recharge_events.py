"""Events of automatic recharge."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.event_base import Event, EventData
from libs.events.fields import (
    AttemptId,
    Basis,
    Caps,
    Consent,
    Count,
    FailureClass,
    Flag,
    Instant,
    Name,
    Nanos,
    NanosOrZero,
    Paid,
    ReasonCode,
    Reference,
    Windows,
)


class RechargeConfiguredData(EventData):
    enabled: Flag
    threshold: NanosOrZero
    basis: Basis
    amount: NanosOrZero
    pack: Name | None
    caps: Caps
    consent: Consent | None


class RechargeConfigured(Event):
    type: Literal["RechargeConfigured"] = "RechargeConfigured"
    data: RechargeConfiguredData


class BalanceFellBelowThresholdData(EventData):
    threshold: NanosOrZero
    basis: Basis


class BalanceFellBelowThreshold(Event):
    type: Literal["BalanceFellBelowThreshold"] = "BalanceFellBelowThreshold"
    data: BalanceFellBelowThresholdData


class RechargeStartedData(EventData):
    attempt_id: AttemptId
    credits: Nanos
    price: Paid
    trigger: Reference
    windows: Windows


class RechargeStarted(Event):
    type: Literal["RechargeStarted"] = "RechargeStarted"
    data: RechargeStartedData


class RechargeFailedData(EventData):
    attempt_id: AttemptId
    class_: Annotated[FailureClass, Field(alias="class")]
    code: ReasonCode | None
    failures_in_row: Count
    next_at: Instant | None
    suspended: Flag


class RechargeFailed(Event):
    type: Literal["RechargeFailed"] = "RechargeFailed"
    data: RechargeFailedData


class RechargeResumedData(EventData):
    reason: Literal["card_changed", "paid", "operator"]


class RechargeResumed(Event):
    type: Literal["RechargeResumed"] = "RechargeResumed"
    data: RechargeResumedData
