"""What an account has, every line of how it came to that, and what became of each grant."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.fields import MAX_COUNT
from libs.events.money import decimal_text
from services.gateway.billing.context import Caller, Owner, TheBilling
from services.gateway.ledger_calls import ask
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.telling import Entries, Fees, Grants, entries_of, fees_of, grants_of

router = APIRouter(tags=["statement"])

Position = Annotated[int | None, Query(ge=0, le=MAX_COUNT)]
EntryCursor = Annotated[str | None, Query(pattern="^[0-9]{1,16}:[0-9]{1,4}$")]
GrantCursor = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
PositionCursor = Annotated[int | None, Query(ge=1, le=MAX_COUNT)]


class Balance(BaseModel):
    """Amounts are decimal texts of `unit`: total = available + reserved."""

    account_id: str
    unit: str
    plan: str
    status: str
    available: str
    reserved: str
    total: str
    as_of_position: int


@router.get("/balance")
async def balance(billing: TheBilling, key: Caller, min_position: Position = None) -> Balance:
    """The balance of the key's account.

    `min_position`: wait a moment until what happened up to there is in the answer; compare
    `as_of_position`.
    """
    fields = {} if min_position is None else {"min_position": min_position}
    facts = await ask(billing.ledger, "balance", key.account_id, **fields)
    unit = facts["unit"]
    return Balance(
        account_id=key.account_id,
        unit=unit,
        plan=facts["plan"],
        status=facts["status"],
        available=decimal_text(int(facts["available"]), unit),
        reserved=decimal_text(int(facts["reserved"]), unit),
        total=decimal_text(int(facts["total"]), unit),
        as_of_position=facts["as_of_position"],
    )


@router.get("/entries", response_model=Entries, responses=CSV)
async def entries(
    billing: TheBilling,
    key: Owner,
    form: TheForm,
    after: EntryCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The statement, oldest line first. `after` is `next` of the page before."""
    return form.of(await entries_of(billing.ledger, key.account_id, after, limit), "entries")


@router.get("/grants", response_model=Grants, responses=CSV)
async def grants(
    billing: TheBilling,
    key: Owner,
    form: TheForm,
    after: GrantCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The statement by grant: where credits came from, and what became of them."""
    page = await grants_of(billing.ledger, key.account_id, key.unit, after, limit)
    return form.of(page, "grants")


@router.get("/fees", response_model=Fees, responses=CSV)
async def fees(
    billing: TheBilling,
    key: Owner,
    form: TheForm,
    after: PositionCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The fees of operations, oldest first: each accrual and return, with the sum so far."""
    return form.of(await fees_of(billing.ledger, key.account_id, after, limit), "fees")
