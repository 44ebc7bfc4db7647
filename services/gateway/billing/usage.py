"""What the account used, by UTC day, model, key and operation."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.list_queries import Dimension
from services.gateway.billing.context import Owner, TheBilling
from services.gateway.billing.requests import Tags, pairs
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import Problem
from services.gateway.telling import UsageReport, usage_of

router = APIRouter(tags=["usage"])

_SHOWN: Final = timedelta(days=29)
_YEARS: Final = range(2000, 3000)


@dataclass(frozen=True)
class Span:
    """Which days, of which tags, summed up by what, and which page of that."""

    first: date | None
    last: date | None
    group: tuple[Dimension, ...]
    after: str | None
    limit: int
    tags: dict[str, str] | None

    def days(self, now: datetime) -> tuple[date, date]:
        """The first and the last day; without any, the last thirty."""
        last = self.last or now.date()
        first = self.first or last - _SHOWN
        if first > last:
            raise Problem(422, "invalid_request", "from: lies after to")
        return first, last


def _span(
    from_: Annotated[
        date | None, Query(alias="from", description="A UTC day; default: 29 days before `to`.")
    ] = None,
    to: Annotated[date | None, Query(description="A UTC day; default: today.")] = None,
    group: Annotated[
        list[Dimension] | None,
        Query(max_length=4, description="By what it is summed up; several: by each combination."),
    ] = None,
    after: Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{1,800}$")] = None,
    limit: Limit = PAGE,
    tag: Tags = None,
) -> Span:
    for name, day in (("from", from_), ("to", to)):
        if day is not None and day.year not in _YEARS:
            detail = f"{name}: the year must lie between 2000 and 2999"
            raise Problem(422, "invalid_request", detail)
    grouped: tuple[Dimension, ...] = tuple(dict.fromkeys(group or ["day"]))
    return Span(from_, to, grouped, after, limit, pairs(tag))


TheSpan = Annotated[Span, Depends(_span)]


@router.get("/usage", response_model=UsageReport, responses=CSV)
async def usage(
    billing: TheBilling, key: Owner, form: TheForm, span: TheSpan
) -> Response | BaseModel:
    """Requests, charges, refunds, costs and what was metered, from one UTC day to another.

    With `tag` only of requests that carry it: all of a request counts on the day that it ended.
    """
    report = await usage_of(
        billing.ledger,
        key.account_id,
        key.unit,
        span.days(billing.ledger.ledger_now()),
        span.group,
        span.after,
        span.limit,
        billing.catalogue.currency,
        span.tags,
    )
    return form.of(report, "rows")
