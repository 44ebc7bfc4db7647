"""Replies to commands: a pure function of the events a command wrote, or of why it wrote none."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model

from libs.events.declines import DECLINES
from libs.events.fields import AnyStreamId, Count, Message, Ordinal
from libs.events.reply_data import (
    AttachedData,
    BusyData,
    ClawedBackData,
    ClosedData,
    ConflictData,
    DeclinedData,
    DetachedData,
    ExtendedData,
    FrozenData,
    GrantedData,
    KeyData,
    MalformedData,
    NothingData,
    OpenedData,
    PlanSetData,
    PublishedData,
    RechargeData,
    RefundedData,
    RejectedByStoreData,
    ReleasedData,
    ReplyData,
    ReservedData,
    ReversedData,
    SettledData,
)

DECLINE_CODES: Final = frozenset(DECLINES)
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


class StrictReply(Message):
    """The envelope of one kind of reply, with its data checked."""

    reply: str
    account_id: AnyStreamId | None
    incarnation: Count
    position: Ordinal | None
    event_count: Count
    data: ReplyData


def _strict(name: str, data: type[ReplyData]) -> type[StrictReply]:
    fields: Any = {"reply": (Literal[name], ...), "data": (data, ...)}
    made: type[StrictReply] = create_model(
        name, __base__=StrictReply, __doc__=data.__doc__, **fields
    )
    return made


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

STRICT_REPLIES: Final[dict[str, type[StrictReply]]] = {
    name: _strict(name, data) for name, data in REPLIES.items()
}
"""One model per reply: what the ledger promises, field by field."""
