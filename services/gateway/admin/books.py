"""What an account's owner is told, for an operator: statement, receipts, grants, use, fees."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.ids import is_id
from services.gateway.admin.context import AccountId, TheAdmin
from services.gateway.billing.receipts import Receipt, receipt_view
from services.gateway.billing.requests import Receipts, TheFilter, requests_of
from services.gateway.billing.statement import EntryCursor, GrantCursor, PositionCursor
from services.gateway.billing.usage import TheSpan
from services.gateway.ledger_calls import ask
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import declined
from services.gateway.telling import (
    Entries,
    Fees,
    Grants,
    UsageReport,
    entries_of,
    fees_of,
    grants_of,
    usage_of,
)

router = APIRouter(prefix="/accounts/{account_id}", tags=["books"])


@router.get("/entries", response_model=Entries, responses=CSV)
async def entries(
    admin: TheAdmin,
    account_id: AccountId,
    form: TheForm,
    after: EntryCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The statement, oldest line first."""
    return form.of(await entries_of(admin.ledger, account_id, after, limit), "entries")


@router.get("/grants", response_model=Grants, responses=CSV)
async def grants(
    admin: TheAdmin,
    account_id: AccountId,
    form: TheForm,
    after: GrantCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The statement by grant: where credits came from, and what became of them."""
    unit = await admin.unit_of(account_id)
    return form.of(await grants_of(admin.ledger, account_id, unit, after, limit), "grants")


@router.get("/fees", response_model=Fees, responses=CSV)
async def fees(
    admin: TheAdmin,
    account_id: AccountId,
    form: TheForm,
    after: PositionCursor = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The fees of the account, with the sum so far."""
    return form.of(await fees_of(admin.ledger, account_id, after, limit), "fees")


@router.get("/usage", response_model=UsageReport, responses=CSV)
async def usage(
    admin: TheAdmin, account_id: AccountId, form: TheForm, span: TheSpan
) -> Response | BaseModel:
    """Requests, charges, refunds, costs and what was metered, from one UTC day to another.

    With `tag` only of requests that carry it: all of a request counts on the day that it ended.
    """
    report = await usage_of(
        admin.ledger,
        account_id,
        await admin.unit_of(account_id),
        span.days(admin.ledger.ledger_now()),
        span.group,
        span.after,
        span.limit,
        admin.catalogue.currency,
        span.tags,
    )
    return form.of(report, "rows")


@router.get("/requests", response_model=Receipts, responses=CSV)
async def requests(
    admin: TheAdmin, account_id: AccountId, form: TheForm, wanted: TheFilter
) -> Response | BaseModel:
    """The requests of the account, the latest first."""
    unit, currency = await admin.unit_of(account_id), admin.catalogue.currency
    page = await requests_of(admin.ledger, account_id, unit, currency, wanted)
    return form.of(page, "requests")


@router.get("/requests/{request_id}")
async def receipt(admin: TheAdmin, account_id: AccountId, request_id: str) -> Receipt:
    """The receipt of one request."""
    if not is_id(request_id, "req"):
        raise declined({"code": "unknown_request"})
    unit = await admin.unit_of(account_id)
    facts = await ask(admin.ledger, "request", account_id, res=request_id)
    return receipt_view(facts, unit, admin.catalogue.currency)
