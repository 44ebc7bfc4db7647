"""What each reply says. A repeated command gets the same, from the same events."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from libs.events.declines import DECLINES
from libs.events.fields import (
    AttemptId,
    Balance,
    CallId,
    Child,
    ClawbackCause,
    Count,
    Flag,
    FreezeReason,
    GrantId,
    GrantNo,
    Instant,
    KeyId,
    Message,
    Name,
    Nanos,
    NanosOrZero,
    Ordinal,
    ReasonCode,
    Reference,
    ReservationId,
    Sha256,
    Unit,
)


class ReplyData(Message):
    """What a reply says."""


class Balances(ReplyData):
    """Of the account, after the command."""

    available: Balance
    reserved: Balance


class MaybeBalances(ReplyData):
    """Of the account after the command; left out of the reply when no credits moved.

    Any command on an account first expires the grants that are due, so any may move credits.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    available: Balance | None = None
    reserved: Balance | None = None


class OpenedData(MaybeBalances):
    unit: Unit
    plan: Name


class PlanSetData(MaybeBalances):
    plan: Name


class ClosedData(MaybeBalances):
    reason_code: ReasonCode


class FrozenData(MaybeBalances):
    reason: FreezeReason


class KeyData(MaybeBalances):
    key_id: KeyId | None
    expires_at: Instant | None


class GrantedData(Balances):
    grant_id: GrantId
    grant_no: GrantNo
    expires_at: Instant | None


class ReservedData(Balances):
    res: ReservationId
    amount: Nanos
    expires_at: Instant


class ExtendedData(Balances):
    res: ReservationId
    total: Nanos
    expires_at: Instant


class SettledData(Balances):
    res: ReservationId
    charge: NanosOrZero
    released: NanosOrZero
    loss: NanosOrZero
    flags: tuple[Literal["late", "overrun", "estimated"], ...]


class ReleasedData(Balances):
    res: ReservationId
    released: Nanos


class AttachedData(MaybeBalances):
    res: ReservationId
    call_id: CallId
    cost_bound: NanosOrZero
    until: Instant


class DetachedData(MaybeBalances):
    res: ReservationId
    call_id: CallId
    cost: NanosOrZero


class RefundedData(Balances):
    res: ReservationId
    refund_no: Ordinal
    amount: Nanos
    child: Child | None


class ClawedBackData(Balances):
    """Sums over the grants the cause touched."""

    cause: ClawbackCause
    payment: Reference | None
    grants: tuple[GrantNo, ...]
    amount: NanosOrZero
    due: NanosOrZero
    shortfall: NanosOrZero


class ReversedData(Balances):
    cause: ClawbackCause
    grants: tuple[GrantNo, ...]
    amount: NanosOrZero
    due_cancelled: NanosOrZero
    shortfall_cancelled: NanosOrZero


class RechargeData(MaybeBalances):
    attempt_id: AttemptId | None
    next_at: Instant | None
    suspended: Flag | None


class PublishedData(MaybeBalances):
    hash: Sha256


class DeclinedData(ReplyData):
    code: Annotated[str, Field(json_schema_extra={"enum": list(DECLINES)})]
    required: NanosOrZero | None
    available: Balance | None
    reserved: Balance | None
    total: Balance | None
    limit_source: Literal["balance", "in_flight", "key_cap", "account_cap"] | None
    until: Instant | None
    parameter: ReasonCode | None


class ConflictData(ReplyData):
    code: Literal["fingerprint", "settled", "released"]
    first_position: Ordinal | None


class BusyData(ReplyData):
    retry_after_ms: Count


class NothingData(ReplyData):
    """There is nothing to say."""


class MalformedData(ReplyData):
    error: Annotated[str, Field(max_length=500)]


class RejectedByStoreData(ReplyData):
    sqlstate: Annotated[str, Field(pattern="^[0-9A-Z]{5}$")]
