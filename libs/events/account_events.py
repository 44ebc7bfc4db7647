"""Events of accounts, keys and limits."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.event_base import Event, EventData
from libs.events.fields import (
    Allowed,
    FreezeReason,
    Instant,
    KeyId,
    KeyPrefix,
    Name,
    Nanos,
    NoteId,
    Percent,
    Purpose,
    ReasonCode,
    Sha256,
    Unit,
)


class AccountOpenedData(EventData):
    unit: Unit
    plan: Name
    external_id_hash: Sha256 | None
    catalogue: Sha256


class AccountOpened(Event):
    type: Literal["AccountOpened"] = "AccountOpened"
    data: AccountOpenedData


class PlanChangedData(EventData):
    plan: Name
    catalogue: Sha256


class PlanChanged(Event):
    type: Literal["PlanChanged"] = "PlanChanged"
    data: PlanChangedData


class AccountClosedData(EventData):
    reason_code: ReasonCode
    note_id: NoteId | None


class AccountClosed(Event):
    type: Literal["AccountClosed"] = "AccountClosed"
    data: AccountClosedData


class AccountFrozenData(EventData):
    reason: FreezeReason
    note_id: NoteId | None


class AccountFrozen(Event):
    type: Literal["AccountFrozen"] = "AccountFrozen"
    data: AccountFrozenData


class AccountUnfrozenData(EventData):
    """`still`: the reasons that keep the account frozen; none: it is open again."""

    reason: FreezeReason
    still: Annotated[tuple[FreezeReason, ...], Field(max_length=100)]


class AccountUnfrozen(Event):
    type: Literal["AccountUnfrozen"] = "AccountUnfrozen"
    data: AccountUnfrozenData


class KeyIssuedData(EventData):
    """`lineage`: the first key of a row of rotations, which owns the spending counters.

    `old_expires_at`: when the key it `rotates` ends, after the overlap.
    """

    key_id: KeyId
    lineage: KeyId
    secret_hash: Sha256
    purpose: Purpose
    prefix: KeyPrefix
    allowed: Allowed | None
    cap_total: Nanos | None
    cap_day: Nanos | None
    cap_month: Nanos | None
    expires_at: Instant | None
    rotates: KeyId | None
    old_expires_at: Instant | None
    note_id: NoteId | None


class KeyIssued(Event):
    type: Literal["KeyIssued"] = "KeyIssued"
    data: KeyIssuedData


class KeyRevokedData(EventData):
    key_id: KeyId
    reason_code: ReasonCode


class KeyRevoked(Event):
    type: Literal["KeyRevoked"] = "KeyRevoked"
    data: KeyRevokedData


class SpendLimitsSetData(EventData):
    day: Nanos | None
    month: Nanos | None
    alerts: Annotated[tuple[Percent, ...], Field(max_length=10)]


class SpendLimitsSet(Event):
    type: Literal["SpendLimitsSet"] = "SpendLimitsSet"
    data: SpendLimitsSetData
