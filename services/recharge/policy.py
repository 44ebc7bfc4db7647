"""When to recharge, and how much: pure. The ledger alone admits; this only decides to ask."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from libs.events.money import MAX_AMOUNT, minor_to_nanos

Reason = Literal[
    "disabled",
    "frozen",
    "closed",
    "attempt_open",
    "suspended",
    "too_early",
    "not_needed",
    "dip",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the account's owner asked for.

    Threshold and amount are nanos of the account's unit, caps nanos of the currency charged.
    """

    enabled: bool
    threshold: int
    basis: Literal["total", "available"]
    amount: int
    pack: str | None = None
    cap_charge: int | None = None
    cap_day: int | None = None
    cap_month: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands, as the ledger answered; amounts are nanos of its unit."""

    unit: str
    plan: str
    status: str
    available: int
    reserved: int
    armed: bool
    policy: Policy | None
    open_attempt: str | None = None
    next_at: datetime | None = None
    suspended: bool = False

    @property
    def total(self) -> int:
        return self.available + self.reserved


@dataclass(frozen=True, slots=True)
class Rearmed:
    """The balance is back at its threshold: nothing is left to watch."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: look again, at `until` when that is known to be the moment.

    `below` says whether the balance still is below the threshold.
    """

    reason: Reason
    until: datetime | None = None
    below: bool = True


@dataclass(frozen=True, slots=True)
class Needed:
    """A recharge is due: `shortfall` nanos of the account's unit are missing."""

    shortfall: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What credits cost: `gives` nanos of the account's unit for `minor` of `currency`."""

    currency: str
    minor: int
    gives: int

    def price_of(self, amount: int) -> int:
        """Minor units asked for `amount` nanos, rounded up to a whole one."""
        return -(-amount * self.minor // self.gives)

    def affords(self, money: int) -> int:
        """The most nanos of the account's unit whose price is within `money` nanos."""
        return max(0, money // minor_to_nanos(1, self.currency)) * self.gives // self.minor


def decide(
    standing: Standing, *, now: datetime, below_since: datetime, dip_wait: timedelta
) -> Rearmed | Wait | Needed:
    """Whether a recharge is due now; `below_since` is when the balance was first seen low."""
    if standing.armed:
        return Rearmed()
    policy = standing.policy
    if policy is None or not policy.enabled:
        return Wait("disabled")
    hindrance = _hindrance(standing, now)
    if hindrance is not None:
        return hindrance
    value = standing.available if policy.basis == "available" else standing.total
    if value >= policy.threshold:
        return Wait("not_needed", below=False)
    # Holds come back by themselves: a balance that is low only because of them gets some time.
    held = standing.total >= policy.threshold
    if held and now < below_since + dip_wait:
        return Wait("dip", until=below_since + dip_wait)
    return Needed(policy.threshold - value)


def size(
    shortfall: int, multiple: int, offer: Offer, policy: Policy, room: int | None = None
) -> int:
    """Nanos to buy in one charge: the smallest multiple that covers the shortfall, within caps.

    `room` is what a cap over time was last known to leave, in nanos of the currency charged.
    0 when nothing fits.
    """
    if multiple <= 0:
        return 0
    caps = (policy.cap_charge, policy.cap_day, policy.cap_month, room)
    limits = [offer.affords(cap) for cap in caps if cap is not None]
    times = max(1, -(-shortfall // multiple))
    return min(times, min([MAX_AMOUNT, *limits]) // multiple) * multiple


def _hindrance(standing: Standing, now: datetime) -> Wait | None:
    if standing.status == "closed":
        return Wait("closed")
    if standing.status == "frozen":
        return Wait("frozen")
    if standing.open_attempt is not None:
        return Wait("attempt_open")
    if standing.suspended:
        return Wait("suspended")
    if standing.next_at is not None and now < standing.next_at:
        return Wait("too_early", until=standing.next_at)
    return None
