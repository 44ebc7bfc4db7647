"""The requests of an account, filtered, the latest first."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, StringConstraints
from starlette.responses import Response

from libs.events.fields import MAX_COUNT
from libs.events.times import to_text
from services.gateway.billing.context import Caller, TheBilling
from services.gateway.billing.receipts import Receipt, receipt_view
from services.gateway.fields import Moment
from services.gateway.ledger_calls import Ledger, ask
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import declined

router = APIRouter(tags=["requests"])

Text = Annotated[str | None, Query(pattern="^[ -~]{1,128}$")]
Tag = Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,32}:[ -~]{0,64}$")]
Tags = Annotated[
    list[Tag] | None, Query(max_length=8, description="`name:value`; several: all of them.")
]


class Receipts(BaseModel):
    """A page, the latest request first; `next` is the `after` of the page with earlier ones."""

    requests: list[Receipt]
    next: int | None
    as_of_position: int


@dataclass(frozen=True)
class Filter:
    """Which page of which requests: the fields of the query `requests`."""

    fields: dict[str, Any]


def _filter(
    after: Annotated[int | None, Query(ge=1, le=MAX_COUNT)] = None,
    limit: Limit = PAGE,
    from_: Annotated[
        Moment | None, Query(alias="from", description="Opened then or later.")
    ] = None,
    to: Annotated[Moment | None, Query(description="Opened before that.")] = None,
    model: Text = None,
    operation: Annotated[
        str | None,
        Query(pattern="^[ -~]{1,128}$", description="What was asked for: an operation or model."),
    ] = None,
    key_id: Annotated[str | None, Query(pattern="^key_[0-9a-f]{32}$")] = None,
    state: Literal["open", "settled", "released", "expired"] | None = None,
    tag: Tags = None,
) -> Filter:
    fields: dict[str, Any] = {
        "after": after,
        "limit": limit,
        "from": from_ and to_text(from_),
        "to": to and to_text(to),
        "model": model,
        "operation": operation,
        "key_id": key_id,
        "state": state,
        "tags": pairs(tag),
    }
    return Filter({name: value for name, value in fields.items() if value is not None})


def pairs(tags: list[str] | None) -> dict[str, str] | None:
    """Tags by their names."""
    return dict(one.split(":", 1) for one in tags) if tags else None


TheFilter = Annotated[Filter, Depends(_filter)]


async def requests_of(
    ledger: Ledger, account_id: str, unit: str, currency: str, wanted: Filter
) -> Receipts:
    """A page of an account's receipts."""
    facts = await ask(ledger, "requests", account_id, **wanted.fields)
    as_of = facts["as_of_position"]
    return Receipts(
        requests=[
            receipt_view(row | {"as_of_position": as_of}, unit, currency)
            for row in facts["requests"]
        ],
        next=facts["next"],
        as_of_position=as_of,
    )


@router.get("/requests", response_model=Receipts, responses=CSV)
async def requests(
    billing: TheBilling, key: Caller, form: TheForm, wanted: TheFilter
) -> Response | BaseModel:
    """The requests of the account; an inference key sees its own."""
    if key.purpose != "account":
        if wanted.fields.get("key_id", key.key_id) != key.key_id:
            raise declined({"code": "unknown_key"})
        wanted = Filter(wanted.fields | {"key_id": key.key_id})
    page = await requests_of(
        billing.ledger, key.account_id, key.unit, billing.catalogue.currency, wanted
    )
    return form.of(page, "requests")
