"""Replies to commands: a pure function of the events a command wrote, or of why it wrote none."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.events.fields import (
    AnyStreamId,
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

DECLINE_CODES: Final = frozenset(
    [
        "unknown_account",
        "account_frozen",
        "account_closed",
        "account_not_empty",
        "unit_mismatch",
        "not_integral",
        "unknown_key",
        "key_revoked",
        "key_expired",
        "key_not_allowed",
        "too_many_keys",
        "insufficient_balance",
        "key_cap_total",
        "key_cap_day",
        "key_cap_month",
        "account_cap_day",
        "account_cap_month",
        "deadline_passed",
        "unknown_catalogue",
        "too_many_grants",
        "grant_expired",
        "unknown_grant",
        "unknown_reservation",
        "reservation_expired",
        "hold_too_short",
        "attached_ceiling",
        "too_many_calls",
        "calls_open",
        "refund_exceeds_charge",
        "unknown_payment",
        "unknown_cause",
        "recharge_disabled",
        "recharge_not_needed",
        "recharge_open",
        "recharge_cap_charge",
        "recharge_cap_day",
        "recharge_cap_month",
        "recharge_too_early",
        "recharge_suspended",
        "unknown_attempt",
        "already_closed",
    ]
)
CONFLICT_CODES: Final = frozenset({"fingerprint", "settled", "released"})
LIMIT_SOURCES: Final = frozenset({"balance", "in_flight", "key_cap", "account_cap"})


class Reply(BaseModel):
    """Any reply as it travels; amounts in `data` are digit strings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reply: str
    account_id: str | None
    incarnation: Count
    position: Count | None
    event_count: Count
    data: dict[str, Any]


class ReplyData(Message):
    """What a reply says."""


class Balances(ReplyData):
    """Of the account, after the command."""

    available: Balance
    reserved: Balance


class MaybeBalances(ReplyData):
    """Of the account, after the command, when it moved credits."""

    available: Balance | None
    reserved: Balance | None


class OpenedData(MaybeBalances):
    unit: Unit
    plan: Name


class PlanSetData(ReplyData):
    plan: Name


class ClosedData(MaybeBalances):
    reason_code: ReasonCode


class FrozenData(ReplyData):
    reason: FreezeReason


class KeyData(ReplyData):
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


class AttachedData(ReplyData):
    res: ReservationId
    call_id: CallId
    cost_bound: NanosOrZero
    until: Instant


class DetachedData(ReplyData):
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


class RechargeData(ReplyData):
    attempt_id: AttemptId | None
    next_at: Instant | None
    suspended: Flag | None


class PublishedData(ReplyData):
    hash: Sha256


class DeclinedData(ReplyData):
    code: Annotated[str, Field(json_schema_extra={"enum": sorted(DECLINE_CODES)})]
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


REPLIES: Final[dict[str, type[ReplyData]]] = {
    "Opened": OpenedData,
    "PlanSet": PlanSetData,
    "Closed": ClosedData,
    "Frozen": FrozenData,
    "Unfrozen": FrozenData,
    "Issued": KeyData,
    "Revoked": KeyData,
    "LimitsSet": KeyData,
    "Granted": GrantedData,
    "Reserved": ReservedData,
    "Extended": ExtendedData,
    "Settled": SettledData,
    "Released": ReleasedData,
    "Attached": AttachedData,
    "Detached": DetachedData,
    "Refunded": RefundedData,
    "ClawedBack": ClawedBackData,
    "Reversed": ReversedData,
    "Configured": RechargeData,
    "Started": RechargeData,
    "FailureRecorded": RechargeData,
    "Resumed": RechargeData,
    "Published": PublishedData,
    "Declined": DeclinedData,
    "Conflict": ConflictData,
    "Busy": BusyData,
    "Retry": NothingData,
    "Malformed": MalformedData,
    "RejectedByStore": RejectedByStoreData,
}
"""Every reply there is, and what its data holds."""

FINAL_REPLIES: Final = frozenset(REPLIES) - {"Busy", "Retry"}
"""Sending the same command again would give the same: all but Busy and Retry."""

REPLY_TO: Final[dict[str, str]] = {
    "OpenAccount": "Opened",
    "ChangePlan": "PlanSet",
    "CloseAccount": "Closed",
    "FreezeAccount": "Frozen",
    "UnfreezeAccount": "Unfrozen",
    "IssueKey": "Issued",
    "RevokeKey": "Revoked",
    "SetSpendLimits": "LimitsSet",
    "GrantCredits": "Granted",
    "Reserve": "Reserved",
    "Extend": "Extended",
    "Settle": "Settled",
    "Release": "Released",
    "Attach": "Attached",
    "Detach": "Detached",
    "Refund": "Refunded",
    "Clawback": "ClawedBack",
    "ReverseClawback": "Reversed",
    "ConfigureRecharge": "Configured",
    "StartRecharge": "Started",
    "RecordRechargeFailure": "FailureRecorded",
    "ResumeRecharge": "Resumed",
    "PublishCatalogue": "Published",
}
"""The reply to an accepted command; the ledger's commands to itself have none."""


class StrictReply(Message):
    """The envelope around any reply's data."""

    account_id: AnyStreamId | None
    incarnation: Count
    position: Ordinal | None
    event_count: Count
