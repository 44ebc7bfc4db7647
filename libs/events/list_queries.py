"""Questions whose answers are lists, page by page.

`next` of an answer is `after` of the question for the page that follows, null on the last page.
A page may hold less than `limit`: an answer is one message. Lists of projections speak of
`as_of_position`; what changes between two pages is on one of them or the other.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from libs.events.fields import (
    AccountId,
    Balance,
    Count,
    Currency,
    Day,
    GrantId,
    GrantNo,
    GrantSource,
    Instant,
    KeyId,
    Name,
    Nanos,
    NanosOrZero,
    Ordinal,
    Paid,
    Percent,
    Priority,
    Purpose,
    ReasonCode,
    Reference,
    ReservationId,
    ShortName,
    SignedBalance,
    Tags,
    Unit,
)
from libs.events.query_base import MAX_PAGE, Facts, Limit, Question

Status = Literal["open", "frozen", "closed"]
KeyCursor = Annotated[
    str, StringConstraints(strict=True, pattern="^(?:active|revoked):[0-9]{1,16}$")
]
"""`status:position` of the last key of the page before."""
Sum = Annotated[str, StringConstraints(strict=True, pattern="^-?[0-9]{1,40}$")]
"""A sum of many amounts in nanos (or of costs in pico), which may outgrow 64 bits."""
SignedMinor = Annotated[int, Field(strict=True, ge=-(10**15), le=10**15)]
Dimension = Literal["day", "model", "key", "operation"]


class AccountsQuestion(Question):
    """The accounts of a partition, in the order of their ids."""

    after: AccountId | None = None
    limit: Limit = MAX_PAGE


class AccountRow(Facts):
    """`external_id` is null when there is none, or when it was erased."""

    account_id: AccountId
    external_id: str | None
    unit: Unit
    plan: Name
    status: Status
    available: Balance
    reserved: Balance
    total: Balance


class AccountsFacts(Facts):
    accounts: tuple[AccountRow, ...]
    next: AccountId | None


class LimitsQuestion(Question):
    account_id: AccountId


class LimitsFacts(Facts):
    """What the account may spend in a UTC day and month, and what it holds and has spent in them.

    Counted only while a limit is set: null without one.
    """

    day: Nanos | None
    month: Nanos | None
    alerts: tuple[Percent, ...]
    spent_day: Balance | None
    spent_month: Balance | None


class ReservationsQuestion(Question):
    """Open reservations of a partition or of one account, in the order of their ids."""

    account_id: AccountId | None = None
    state: Literal["open"] = "open"
    after: ReservationId | None = None
    limit: Limit = MAX_PAGE


class ReservationRow(Facts):
    """Key, operation and time are null for a moment, until the receipt is there."""

    reservation_id: ReservationId
    account_id: AccountId
    amount: NanosOrZero
    expires_at: Instant
    position: Ordinal
    key_id: KeyId | None
    operation: Name | None
    opened_at: Instant | None


class ReservationsFacts(Facts):
    reservations: tuple[ReservationRow, ...]
    next: ReservationId | None


class KeysQuestion(Question):
    """Active keys first, then the revoked ones, the latest first; `key_id`: this one alone."""

    account_id: AccountId
    key_id: KeyId | None = None
    after: KeyCursor | None = None
    limit: Limit = MAX_PAGE


class KeyRow(Facts):
    """A key without its hash.

    `spent_…`: what its lineage holds and has spent in all and in the running UTC day and month,
    null for a key without caps.
    """

    key_id: KeyId
    name: str | None
    purpose: Purpose
    prefix: Name
    allowed: tuple[Name, ...] | None
    cap_total: Nanos | None
    cap_day: Nanos | None
    cap_month: Nanos | None
    spent_total: Balance | None
    spent_day: Balance | None
    spent_month: Balance | None
    expires_at: Instant | None
    lineage: KeyId
    rotates: KeyId | None
    status: Literal["active", "revoked"]
    position: Ordinal
    created_at: Instant | None


class KeysFacts(Facts):
    keys: tuple[KeyRow, ...]
    next: KeyCursor | None


class GrantsQuestion(Question):
    """The grants of an account, the oldest first."""

    account_id: AccountId
    after: GrantNo | None = None
    limit: Limit = MAX_PAGE


class GrantRow(Facts):
    """granted = available + reserved + (charged - refunded) + expired + clawed + moved.

    `moved` went to the children that refunds of an expired grant opened; a child names its
    `parent_no`. `shortfall`: what a clawback could not get back.
    """

    grant_id: GrantId | None
    grant_no: GrantNo
    source: GrantSource | Literal["unknown"]
    priority: Priority
    granted_at: Instant
    expires_at: Instant | None
    paid: Paid | None
    payment: Reference | None
    pack: Name | None
    parent_no: GrantNo | None
    reason_code: ReasonCode | None
    position: Ordinal
    granted: NanosOrZero
    available: SignedBalance
    reserved: SignedBalance
    charged: Sum
    refunded: Sum
    expired: SignedBalance
    clawed: SignedBalance
    moved: SignedBalance
    shortfall: SignedBalance


class GrantsFacts(Facts):
    grants: tuple[GrantRow, ...]
    next: GrantNo | None


class RequestsQuestion(Question):
    """The requests of an account, the latest first; of those opened from `from` until before `to`.

    `operation` is what was asked for: an operation's name, or a model's. `tags`: all of these.
    """

    account_id: AccountId
    after: Ordinal | None = None
    limit: Limit = MAX_PAGE
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None
    model: Name | None = None
    key_id: KeyId | None = None
    operation: Name | None = None
    state: Literal["open", "settled", "released", "expired"] | None = None
    tags: Tags | None = None


class UsageKey(Facts):
    """Which row of a usage answer; null where the answer is not grouped by it."""

    day: Day | None = None
    model: Name | None = None
    key_id: KeyId | None = None
    operation: Name | None = None


class UsageQuestion(Question):
    """What was used from one UTC day to another, both included, summed up by `group`.

    `tags`: only of requests with all of these; all of such a request counts on the day it ended.
    """

    account_id: AccountId
    from_: Annotated[Day, Field(alias="from")]
    to: Day
    tags: Tags | None = None
    group: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=4)]
    after: UsageKey | None = None
    limit: Limit = MAX_PAGE


class UsageRow(UsageKey):
    """`model` is also null of what is no model's.

    `requests` ended, `released` of them without a charge; `usage` sums up what was metered.
    """

    requests: Count
    released: Count
    charged: Sum
    margin: Sum
    cost_pico: Sum
    refunded: Sum
    usage: dict[str, Any]


class UsageFacts(Facts):
    rows: tuple[UsageRow, ...]
    next: UsageKey | None


class FeesQuestion(Question):
    """The fees of an account, the oldest line first."""

    account_id: AccountId
    after: Ordinal | None = None
    limit: Limit = MAX_PAGE


class FeeRow(Facts):
    """One accrual, or a return (negative); `total` is the sum so far of currency and schedule."""

    position: Ordinal
    occurred_at: Instant
    res: ReservationId
    key_id: KeyId | None
    operation: Name | None
    currency: Currency
    schedule: ShortName
    minor: SignedMinor
    total: int


class FeeTotal(Facts):
    """What stands accrued now in a currency under a schedule."""

    currency: Currency
    schedule: ShortName
    minor: int


class FeesFacts(Facts):
    fees: tuple[FeeRow, ...]
    totals: tuple[FeeTotal, ...]
    next: Ordinal | None
