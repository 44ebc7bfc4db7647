"""Spend caps of keys and of the account, in UTC days and months (ACC-4, ACC-8).

A counter belongs to a key's lineage, so rotating a key does not reset it; the account's own has
no lineage. What is counted is what is held or charged: a reservation carries the labels of the
day and month it was counted in, and what it gives back leaves these windows only.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from libs.events.commands import SetSpendLimits
from libs.events.money import MAX_TOTAL, is_integral
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.state import (
    Account,
    Counter,
    Data,
    Declined,
    Key,
    Limits,
    Moment,
    Reservation,
)

ACCOUNT = ""
"""The account's own counter among those of its keys' lineages."""


class Room(NamedTuple):
    """What a cap still allows, in nanos, and until when."""

    left: int
    code: str
    until: str | None

    @property
    def limit_source(self) -> str:
        return "key_cap" if self.code.startswith("key") else "account_cap"


def tightest(account: Account, key: Key | None, now: Moment) -> Room | None:
    """The cap that allows least, None when there is none."""
    if account.limits is None and (key is None or not is_capped(key)):
        return None
    return min(_rooms(account, key, now), key=lambda room: room.left, default=None)


def _rooms(account: Account, key: Key | None, now: Moment) -> Iterator[Room]:
    if key is not None and is_capped(key):
        spent = rolled(account.counters.get(key.lineage), now.text)
        if key.cap_total is not None:
            yield Room(key.cap_total - spent.total, "key_cap_total", None)
        if key.cap_day is not None:
            yield Room(key.cap_day - spent.day_sum, "key_cap_day", next_day(now.at))
        if key.cap_month is not None:
            yield Room(key.cap_month - spent.month_sum, "key_cap_month", next_month(now.at))
    if account.limits is not None:
        spent = rolled(account.counters.get(ACCOUNT), now.text)
        if account.limits.day is not None:
            yield Room(account.limits.day - spent.day_sum, "account_cap_day", next_day(now.at))
        if account.limits.month is not None:
            until = next_month(now.at)
            yield Room(account.limits.month - spent.month_sum, "account_cap_month", until)


def is_capped(key: Key) -> bool:
    return key.cap_total is not None or key.cap_day is not None or key.cap_month is not None


def rolled(counter: Counter | None, now: str) -> Counter:
    """The counter as it stands in the window of `now`: a new day or month begins at nothing."""
    if counter is None:
        counter = Counter()
    day, month = now[:10], now[:7]
    if counter.day != day:
        counter = counter._replace(day=day, day_sum=0)
    if counter.month != month:
        counter = counter._replace(month=month, month_sum=0)
    return counter


def next_day(at: datetime) -> str:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return to_text(midnight + timedelta(days=1))


def next_month(at: datetime) -> str:
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return to_text((first + timedelta(days=32)).replace(day=1))


def _lineages(account: Account, key_id: str, *, limited: bool) -> list[str]:
    key = account.keys.get(key_id)
    lineages = [key.lineage] if key is not None and is_capped(key) else []
    if limited:
        lineages.append(ACCOUNT)
    return lineages


def count(account: Account, key_id: str, day: str, amount: int) -> Account:
    """Count `amount` nanos taken on a day (its month is part of it)."""
    lineages = _lineages(account, key_id, limited=account.limits is not None)
    if not lineages or not amount:
        return account
    counters = dict(account.counters)
    for lineage in lineages:
        spent = rolled(counters.get(lineage), day)
        counters[lineage] = spent._replace(
            total=_bounded(spent.total + amount),
            day_sum=_bounded(spent.day_sum + amount),
            month_sum=_bounded(spent.month_sum + amount),
        )
    return account._replace(counters=counters)


def recount(account: Account, reservation: Reservation, change: int) -> Account:
    """A hold grew or gave back: that counts in the windows it was made in, if they still run."""
    lineages = _lineages(account, reservation.key_id, limited=reservation.limited)
    if not lineages or not change:
        return account
    counters = dict(account.counters)
    for lineage in lineages:
        spent = counters.get(lineage)
        if spent is None:
            continue
        same_day, same_month = spent.day == reservation.day, spent.month == reservation.day[:7]
        counters[lineage] = spent._replace(
            total=_bounded(spent.total + change),
            day_sum=_bounded(spent.day_sum + change) if same_day else spent.day_sum,
            month_sum=_bounded(spent.month_sum + change) if same_month else spent.month_sum,
        )
    return account._replace(counters=counters)


def _bounded(total: int) -> int:
    """No cap is above MAX_AMOUNT, so that counting further would change nothing."""
    return min(MAX_TOTAL, max(0, total))


def decide_limits(draft: Draft, command: SetSpendLimits) -> Declined | None:
    data, account = command.data, draft.account
    if account.closed:
        return Declined("account_closed")
    for name in ("day", "month"):
        value = getattr(data, name)
        if value is not None and not is_integral(value, account.unit):
            return Declined("not_integral", parameter=name)
    draft.add(
        "SpendLimitsSet",
        {
            "day": None if data.day is None else str(data.day),
            "month": None if data.month is None else str(data.month),
            "alerts": list(data.alerts),
        },
    )
    return None


def evolve_limits(account: Account, data: Data) -> Account:
    """What is held while a limit stands is counted, and stays counted when none does."""
    day, month = data["day"], data["month"]
    if day is None and month is None:
        return account._replace(limits=None)
    limits = Limits(
        int(day) if day is not None else None,
        int(month) if month is not None else None,
        tuple(data["alerts"]),
    )
    return account._replace(limits=limits)
