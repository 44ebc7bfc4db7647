"""What an account may spend in a UTC day and month (ACC-8): shown and set."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field

from libs.events.commands import SetSpendLimits, SetSpendLimitsData
from libs.events.ids import new_id, uuid7
from libs.events.money import decimal_text
from services.gateway.fields import AmountText, Body, nanos
from services.gateway.ledger_calls import Ledger, ask, carry_out, named_uuid

Alert = Annotated[int, Field(ge=1, le=100)]


class LimitsToSet(Body):
    """All of it is set: a limit that is left out is none. `alerts`: percents of the limits."""

    day: AmountText | None = None
    month: AmountText | None = None
    alerts: Annotated[tuple[Alert, ...], Field(max_length=10)] = ()


class Limits(BaseModel):
    """Decimal texts of `unit`. `spent_…`: held and charged now; null while no limit is set.

    `reached_…`: those of `alerts` that are reached; 100 is the limit itself.
    """

    unit: str
    day: str | None
    month: str | None
    alerts: list[int]
    spent_day: str | None
    spent_month: str | None
    reached_day: list[int]
    reached_month: list[int]
    as_of_position: int


async def limits_of(ledger: Ledger, account_id: str, unit: str) -> Limits:
    """What is set, and what counts against it."""
    facts = await ask(ledger, "limits", account_id)
    amounts = {
        name: None if facts[name] is None else decimal_text(int(facts[name]), unit)
        for name in ("day", "month", "spent_day", "spent_month")
    }
    alerts = facts["alerts"]
    return Limits(
        unit=unit,
        **amounts,
        alerts=alerts,
        reached_day=reached(alerts, facts["day"], facts["spent_day"]),
        reached_month=reached(alerts, facts["month"], facts["spent_month"]),
        as_of_position=facts["as_of_position"],
    )


def reached(alerts: Iterable[int], limit: str | None, spent: str | None) -> list[int]:
    """The percents of `limit` that `spent` has come to; amounts are digits of nanos."""
    if limit is None or spent is None:
        return []
    return [percent for percent in alerts if int(spent) * 100 >= int(limit) * percent]


async def set_limits(
    ledger: Ledger, account_id: str, unit: str, body: LimitsToSet, idempotency_key: str | None
) -> Limits:
    """Set the limits and show what holds now."""
    if idempotency_key is None:
        caller = uuid7()
    else:
        caller = named_uuid("limits", account_id, idempotency_key)
    command = SetSpendLimits(
        caller_id=str(caller),
        account_id=account_id,
        correlation_id=new_id("req"),
        data=SetSpendLimitsData(
            day=None if body.day is None else nanos(body.day, unit, "day"),
            month=None if body.month is None else nanos(body.month, unit, "month"),
            alerts=tuple(sorted(set(body.alerts))),
        ),
    )
    await carry_out(ledger, command, unit)
    return await limits_of(ledger, account_id, unit)
