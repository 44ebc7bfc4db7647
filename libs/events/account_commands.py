"""Commands about accounts, their keys and limits."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from libs.events.command_base import (
    ADMIN_ONLY,
    CommandData,
    Dated,
    Undated,
)
from libs.events.fields import (
    Allowed,
    Flag,
    FreeText,
    FreezeReason,
    Instant,
    KeyId,
    KeyPrefix,
    Millis,
    Name,
    Nanos,
    Percent,
    Purpose,
    ReasonCode,
    Sha256,
    Unit,
)
from libs.events.subjects import ADMIN, MONEY, USE


class OpenAccountData(CommandData):
    facts: ClassVar = ("unit", "plan", "initial", "external_id_hash")

    unit: Unit
    plan: Name
    initial: Nanos | None = None
    external_id_hash: Sha256 | None = None
    external_id: FreeText | None = None
    catalogue: Sha256


class OpenAccount(Undated):
    """Open an account; the same external id always names the same account."""

    senders: ClassVar = ADMIN_ONLY
    caller_form: ClassVar = "{account_id}"

    kind: Literal["OpenAccount"] = "OpenAccount"
    data: OpenAccountData


class ChangePlanData(CommandData):
    facts: ClassVar = ("plan",)

    plan: Name
    catalogue: Sha256


class ChangePlan(Undated):
    """Sell to the account by another plan from now on."""

    senders: ClassVar = ADMIN_ONLY

    kind: Literal["ChangePlan"] = "ChangePlan"
    data: ChangePlanData


class CloseAccountData(CommandData):
    facts: ClassVar = ("write_off",)

    write_off: Flag
    reason_code: ReasonCode
    note: FreeText | None = None


class CloseAccount(Undated):
    """Close an account for good; what is left must be nothing, or be written off."""

    senders: ClassVar = ADMIN_ONLY

    kind: Literal["CloseAccount"] = "CloseAccount"
    data: CloseAccountData


class FreezeAccountData(CommandData):
    facts: ClassVar = ("reason", "revoke_keys")

    reason: FreezeReason
    revoke_keys: Flag = False
    note: FreeText | None = None


class FreezeAccount(Undated):
    """Stop spending, for one reason; reasons add up and are lifted one by one."""

    senders: ClassVar = frozenset({MONEY, ADMIN})

    kind: Literal["FreezeAccount"] = "FreezeAccount"
    data: FreezeAccountData


class UnfreezeAccountData(CommandData):
    facts: ClassVar = ("reason", "revoke_keys")

    reason: FreezeReason
    revoke_keys: Flag = False
    note: FreeText | None = None


class UnfreezeAccount(Undated):
    """Lift one reason; spending goes on when none is left."""

    senders: ClassVar = frozenset({MONEY, ADMIN})

    kind: Literal["UnfreezeAccount"] = "UnfreezeAccount"
    data: UnfreezeAccountData


class IssueKeyData(CommandData):
    facts: ClassVar = (
        "key_id",
        "secret_hash",
        "purpose",
        "allowed",
        "cap_total",
        "cap_day",
        "cap_month",
        "expires_at",
        "rotates",
        "overlap_ms",
    )

    key_id: KeyId
    secret_hash: Sha256
    purpose: Purpose
    prefix: KeyPrefix
    allowed: Allowed | None = None
    cap_total: Nanos | None = None
    cap_day: Nanos | None = None
    cap_month: Nanos | None = None
    expires_at: Instant | None = None
    rotates: KeyId | None = None
    overlap_ms: Millis = 0
    name: FreeText | None = None


class IssueKey(Dated):
    """Give the account a key; only the hash of its secret is known here."""

    senders: ClassVar = frozenset({USE, ADMIN})
    caller_form: ClassVar = "{key_id}"

    kind: Literal["IssueKey"] = "IssueKey"
    data: IssueKeyData


class RevokeKeyData(CommandData):
    facts: ClassVar = ("key_id",)

    key_id: KeyId
    reason_code: ReasonCode


class RevokeKey(Undated):
    """End a key at once."""

    senders: ClassVar = frozenset({USE, MONEY, ADMIN})
    caller_form: ClassVar = "revoke:{key_id}"

    kind: Literal["RevokeKey"] = "RevokeKey"
    data: RevokeKeyData


class SetSpendLimitsData(CommandData):
    facts: ClassVar = ("day", "month", "alerts")

    day: Nanos | None = None
    month: Nanos | None = None
    alerts: Annotated[tuple[Percent, ...], Field(max_length=10)] = ()


class SetSpendLimits(Undated):
    """What the account may spend in a UTC day and month, and at which percents to tell."""

    senders: ClassVar = frozenset({USE, ADMIN})

    kind: Literal["SetSpendLimits"] = "SetSpendLimits"
    data: SetSpendLimitsData
