"""Questions to the ledger and its answers, on `ledger.queries.<p>.<name>`.

An answer is `{"ok": true, "position", "as_of_position", "data"}`: `position` is the last in the
log of the partition when the answer was made, `as_of_position` how far the projection had come
(null when the answer was read from the writer's own tables). A refusal is
`{"ok": false, "code", "message"}`.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from libs.events import list_queries as lists
from libs.events.fields import (
    AccountId,
    AttemptId,
    Balance,
    Basis,
    CallId,
    Caps,
    CatalogueText,
    Count,
    Flag,
    FreezeReason,
    GrantNo,
    Instant,
    KeyId,
    Message,
    Name,
    Nanos,
    NanosOrZero,
    Ordinal,
    Paid,
    Pico,
    Purpose,
    ReasonCode,
    ReservationId,
    Sha256,
    SignedBalance,
    SignedNanos,
    Unit,
)
from libs.events.query_base import MAX_PAGE, Facts, Limit, Question

Cursor = Annotated[str, Field(strict=True, pattern="^[0-9]{1,16}:[0-9]{1,4}$")]
"""`position:line` of the last entry of the page before."""


class InstallationQuestion(Question):
    """What the clients must know before they are ready."""


class IncarnationFacts(Facts):
    """One life of the log, and from where on it may differ from those before it."""

    incarnation: Ordinal
    first_position: Ordinal


class InstallationFacts(Facts):
    """`incarnations`: those after the first, the oldest first; none of a log never restored."""

    partitions: Ordinal
    incarnation: Ordinal
    incarnations: tuple[IncarnationFacts, ...]
    last_position: Count
    ledger_now: Instant


class KeyByHashQuestion(Question):
    hash: Sha256


class KeyByHashFacts(Facts):
    key_id: KeyId
    account_id: AccountId
    purpose: Purpose
    allowed: tuple[Name, ...] | None
    unit: Unit
    plan: Name
    key_status: Literal["active", "revoked"]
    account_status: Literal["open", "frozen", "closed"]
    expires_at: Instant | None


class BalanceQuestion(Question):
    """`min_position`: wait a moment until the log has come so far."""

    account_id: AccountId
    min_position: Count | None = None


class BalanceFacts(Facts):
    unit: Unit
    plan: Name
    available: Balance
    reserved: Balance
    total: Balance
    status: Literal["open", "frozen", "closed"]
    armed: Flag | None
    freezes: tuple[FreezeReason, ...]


class EntriesQuestion(Question):
    account_id: AccountId
    after: Cursor | None = None
    limit: Limit = MAX_PAGE


EntryType = Literal[
    "top_up",
    "reservation",
    "charge",
    "release",
    "refund",
    "expiry",
    "clawback",
    "adjustment",
]


class Entry(Facts):
    """One line of the statement; the amount is signed, the balances are those after it."""

    position: Ordinal
    line: Count
    occurred_at: Instant
    type: EntryType
    amount: SignedBalance
    available: Balance
    reserved: Balance
    unit: Unit
    res: ReservationId | None
    grant_no: GrantNo | None
    key_id: KeyId | None
    operation: Name | None
    source: Name | None
    reason_code: ReasonCode | None


class EntriesFacts(Facts):
    entries: tuple[Entry, ...]
    next: Cursor | None


class RequestQuestion(Question):
    account_id: AccountId
    res: ReservationId


class AttachedCall(Facts):
    """A call that ran under a reservation: bound and cost in nanos of the catalogue's currency.

    `cost` is null until it was detached; one that was not by `until` is counted at its bound.
    """

    call_id: CallId
    cost_bound: NanosOrZero
    until: Instant
    cost: NanosOrZero | None
    above_bound: Flag
    usage: dict[str, Any] | None
    model: Name | None
    route: Name | None


class RequestFacts(Facts):
    """The receipt of one request, every column of its projection."""

    reservation_id: ReservationId
    account_id: AccountId
    key_id: KeyId | None
    operation: Name | None
    surface: Name | None
    model: Name | None
    status: Count | None
    state: Literal["open", "settled", "released", "expired"]
    reserved: NanosOrZero | None
    charge: NanosOrZero | None
    margin: SignedNanos | None
    cost_pico: Pico | None
    released: NanosOrZero | None
    refunded: NanosOrZero | None
    loss: NanosOrZero | None
    loss_kind: Name | None
    basis: Name | None
    usage: dict[str, Any] | None
    route: Name | None
    route_reason: Name | None
    attempts: tuple[dict[str, Any], ...] | None
    finish: Name | None
    fee: dict[str, Any] | None
    tags: dict[str, Any] | None
    catalogue: Sha256 | None
    opened_at: Instant | None
    closed_at: Instant | None
    opened_position: Count | None
    closed_position: Count | None
    available_after: Balance | None
    calls: tuple[AttachedCall, ...] | None


class EventsQuestion(Question):
    """Events of the partition from a position on, that position included."""

    from_: Annotated[Ordinal, Field(alias="from")]
    limit: Limit = MAX_PAGE


class EventRow(Facts):
    """`body`: the canonical JSON as text, the very bytes that were hashed."""

    position: Ordinal
    type: Name
    body: str


class EventsFacts(Facts):
    events: tuple[EventRow, ...]


class RechargeQuestion(Question):
    account_id: AccountId


class RechargePolicy(Facts):
    enabled: Flag
    threshold: NanosOrZero
    basis: Basis
    amount: NanosOrZero
    pack: Name | None
    caps: Caps


class OpenAttempt(Facts):
    attempt_id: AttemptId
    credits: Nanos
    price: Paid
    started_at: Instant


class RechargeFacts(Facts):
    policy: RechargePolicy | None
    open_attempt: OpenAttempt | None
    failures_in_row: Count
    next_at: Instant | None
    suspended: Flag
    armed: Flag | None


class RequestsFacts(Facts):
    """`next`: the position at which the last request of the page was opened."""

    requests: tuple[RequestFacts, ...]
    next: Ordinal | None


class CataloguesQuestion(Question):
    """Which catalogues the partition was told to sell by, in the order in which it was told."""


class CatalogueRow(Facts):
    """`in_force` at the moment of the answer."""

    hash: Sha256
    effective_from: Instant
    withdrawn_from: Instant | None
    in_force: Flag
    position: Ordinal


class CataloguesFacts(Facts):
    catalogues: tuple[CatalogueRow, ...]


class CatalogueQuestion(Question):
    hash: Sha256


class CatalogueFacts(Facts):
    """`text`: the canonical JSON that the hash is of."""

    hash: Sha256
    text: CatalogueText


QUERIES: Final[dict[str, tuple[type[Question], type[Facts]]]] = {
    "installation": (InstallationQuestion, InstallationFacts),
    "key_by_hash": (KeyByHashQuestion, KeyByHashFacts),
    "balance": (BalanceQuestion, BalanceFacts),
    "entries": (EntriesQuestion, EntriesFacts),
    "request": (RequestQuestion, RequestFacts),
    "events": (EventsQuestion, EventsFacts),
    "recharge": (RechargeQuestion, RechargeFacts),
    "accounts": (lists.AccountsQuestion, lists.AccountsFacts),
    "limits": (lists.LimitsQuestion, lists.LimitsFacts),
    "reservations": (lists.ReservationsQuestion, lists.ReservationsFacts),
    "keys": (lists.KeysQuestion, lists.KeysFacts),
    "catalogues": (CataloguesQuestion, CataloguesFacts),
    "catalogue": (CatalogueQuestion, CatalogueFacts),
    "grants": (lists.GrantsQuestion, lists.GrantsFacts),
    "requests": (lists.RequestsQuestion, RequestsFacts),
    "usage": (lists.UsageQuestion, lists.UsageFacts),
    "fees": (lists.FeesQuestion, lists.FeesFacts),
}
"""The queries that are answered, with what is asked and what is told."""


class Answer(Message):
    """A question that could be answered."""

    ok: Literal[True]
    position: Count
    as_of_position: Count | None
    data: dict[str, Any]


class Refusal(Message):
    """A question that could not: a code to act on and words to read."""

    ok: Literal[False]
    code: ReasonCode
    message: str
