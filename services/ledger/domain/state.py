"""What the ledger knows of one account while it decides.

All amounts are integer nanos of the account's unit. Times are RFC 3339 texts of fixed width
(UTC, six decimals), so comparing texts compares instants. Everything is immutable: a decision
builds new values, and a batch whose append failed is forgotten by forgetting them.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

Allocation = tuple[tuple[int, int], ...]
"""(grant_no, nanos) pairs, in the order they were taken."""

Data = dict[str, Any]
"""The data of one event as it stands in the body: amounts are digit strings."""


class Moment(NamedTuple):
    """The ledger's time of one batch: max(clock, last occurred_at)."""

    at: datetime
    text: str


class Grant(NamedTuple):
    """A lot of credits. Live while any of it is available or reserved."""

    no: int
    source: str
    available: int
    reserved: int
    priority: int
    expires_at: str | None
    payment: str | None


class Key(NamedTuple):
    key_id: str
    lineage: str
    purpose: str
    allowed: tuple[str, ...] | None
    expires_at: str | None
    revoked: bool
    cap_total: int | None = None
    cap_day: int | None = None
    cap_month: int | None = None


class Counter(NamedTuple):
    """What was held or charged in all, in one UTC day and in one UTC month; nanos."""

    total: int = 0
    day: str = ""
    day_sum: int = 0
    month: str = ""
    month_sum: int = 0


class Limits(NamedTuple):
    """What the owner lets the account spend in a UTC day and month; nanos, alerts in percent."""

    day: int | None
    month: int | None
    alerts: tuple[int, ...]


class Attempt(NamedTuple):
    """The one open attempt to recharge; only a grant or a failure with its id closes it."""

    attempt_id: str
    credits: int
    currency: str
    minor: int
    started_at: str
    day: str
    month: str


class Recharge(NamedTuple):
    """The recharge policy of an account and what happened under it.

    Threshold and amount in nanos of the account's unit; caps and sums in nanos of the currency
    that is charged.
    """

    enabled: bool
    threshold: int
    basis: str
    amount: int
    pack: str | None
    cap_charge: int | None
    cap_day: int | None
    cap_month: int | None
    attempt: Attempt | None = None
    failures_in_row: int = 0
    next_at: str | None = None
    suspended: bool = False
    day: str = ""
    day_sum: int = 0
    month: str = ""
    month_sum: int = 0


class Due(NamedTuple):
    """What a claim still takes of a grant as soon as it comes back from the holds it is in.

    `cause` is the claim, `target` what it takes of the whole payment.
    """

    amount: int
    cause: str
    target: int
    payment: str | None


class Lot(NamedTuple):
    """A grant for good, live or not: what it was, and what claims took of it.

    `granted` is what was issued, 0 for a child: its credits were issued with its parent. `causes`
    are the claims that touched it, each with what it takes of the whole payment.
    """

    no: int
    source: str
    priority: int
    expires_at: str | None
    payment: str | None
    granted: int = 0
    clawed: int = 0
    shortfall: int = 0
    causes: tuple[tuple[str, int], ...] = ()


NO_KEYS: Mapping[str, Key] = MappingProxyType({})
NO_COUNTERS: Mapping[str, Counter] = MappingProxyType({})
NO_DUES: Mapping[int, Due] = MappingProxyType({})
NO_LOTS: Mapping[int, Lot] = MappingProxyType({})


class Account(NamedTuple):
    """Balance, grants, keys and standing of one account. available + reserved = total."""

    account_id: str
    unit: str
    plan: str
    closed: bool = False
    available: int = 0
    reserved: int = 0
    freezes: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    next_grant_no: int = 1
    keys: Mapping[str, Key] = NO_KEYS
    armed: bool | None = None
    recharge: Recharge | None = None
    next_expiry: str | None = None
    catalogue: str | None = None
    limits: Limits | None = None
    counters: Mapping[str, Counter] = NO_COUNTERS
    dues: Mapping[int, Due] = NO_DUES
    """By grant number; never more than the grant has reserved, once a command is done."""

    @property
    def total(self) -> int:
        return self.available + self.reserved

    @property
    def status(self) -> str:
        if self.closed:
            return "closed"
        return "frozen" if self.freezes else "open"


def moved(
    account: Account,
    *,
    available: int,
    reserved: int,
    grants: tuple[Grant, ...],
    next_expiry: str | None,
) -> Account:
    """The account after credits moved: as `_replace` would make it, at a third of the time."""
    a = account
    return Account(
        a.account_id, a.unit, a.plan, a.closed, available, reserved, a.freezes, grants,
        a.next_grant_no, a.keys, a.armed, a.recharge, next_expiry, a.catalogue, a.limits,
        a.counters, a.dues,
    )  # fmt: skip


class Call(NamedTuple):
    """A call attached to a hold: its bound until it was detached, then its cost.

    Nanos of the catalogue's currency. It counts as running until it is detached, or `until`.
    """

    call_id: str
    bound: int
    until: str
    cost: int | None = None


class Reservation(NamedTuple):
    """An open hold: `amount` nanos taken from grants as `taken` says, until `expires_at`."""

    res: str
    account_id: str
    key_id: str
    operation: str
    amount: int
    taken: Allocation
    expires_at: str
    at_deadline: str
    catalogue: str
    day: str
    fee: Data | None = None
    used_so_far: int = 0
    limited: bool = False
    """Whether it counts against the account's limits: they stood when it was made."""
    ceiling: int | None = None
    """What the calls attached to it may cost in all; none may be attached without it."""
    calls: tuple[Call, ...] = ()


class Refunded(NamedTuple):
    """What was given back of a charge, how much of it had been margin, and in how many refunds."""

    amount: int = 0
    margin: int = 0
    number: int = 0


class Past(NamedTuple):
    """What the log says of a reservation that is not open.

    `how` is settled, released, expired or unknown; `position` is where it was closed. For a late
    settlement: the `amount` it held last, and the `fee` that was given back since. For a refund:
    the data of the events that charged for it, the fee that stands `accrued`, and what went back.
    """

    how: str
    position: int | None = None
    amount: int = 0
    fee: Data | None = None
    account_id: str = ""
    charges: tuple[Data, ...] = ()
    accrued: Data | None = None
    refunded: Refunded = Refunded()


@final
class State:
    """The account a command names, the reservation it names, and the lots that it may change.

    `attempted`: whether the recharge attempt that the command names was ever opened. (This and
    the other classes without a base are made for every command: compiled, a named tuple costs
    eight times as much to make.)
    """

    __slots__ = ("account", "attempted", "lots", "past", "reservation")

    def __init__(
        self,
        account: Account | None = None,
        reservation: Reservation | None = None,
        past: Past | None = None,
        lots: Mapping[int, Lot] = NO_LOTS,
        attempted: bool = False,
    ) -> None:
        self.account: Final = account
        self.reservation: Final = reservation
        self.past: Final = past
        self.lots: Final = lots
        self.attempted: Final = attempted

    def with_account(self, account: Account) -> "State":
        return State(account, self.reservation, self.past, self.lots, self.attempted)


@final
class Event:
    """What happened: a type of the catalogue, its data, and to whom and when."""

    __slots__ = ("account_id", "data", "occurred_at", "type")

    def __init__(self, type: str, data: Data, account_id: str, occurred_at: str) -> None:  # noqa: A002
        self.type: Final = type
        self.data: Final = data
        self.account_id: Final = account_id
        self.occurred_at: Final = occurred_at


class Declined(NamedTuple):
    """A command refused by the rules. A reply, never an exception; nothing is written."""

    code: str
    required: int | None = None
    available: int | None = None
    reserved: int | None = None
    total: int | None = None
    limit_source: str | None = None
    until: str | None = None
    parameter: str | None = None


class Conflict(NamedTuple):
    """The command contradicts one that was accepted before."""

    code: str
    first_position: int | None


class Retry(NamedTuple):
    """Not decidable yet; the same command may succeed in a moment."""


Refusal = Declined | Conflict | Retry


@final
class Accepted:
    """The events of a command (at least one) and the state after them."""

    __slots__ = ("events", "state")

    def __init__(self, events: tuple[Event, ...], state: State) -> None:
        self.events: Final = events
        self.state: Final = state


Decision = Accepted | Refusal
