"""What an account has, and every line of how it came to that."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from libs.events.fields import MAX_COUNT
from libs.events.money import decimal_text
from services.gateway.billing.context import Caller, Owner, TheBilling
from services.gateway.ledger_calls import ask

router = APIRouter(tags=["statement"])

_PAGE = 100

Position = Annotated[int | None, Query(ge=0, le=MAX_COUNT)]


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


class Entry(BaseModel):
    """One line. `amount` is signed; the balances are those after the line."""

    position: int
    line: int
    occurred_at: str
    type: str
    amount: str
    available: str
    reserved: str
    unit: str
    request_id: str | None
    grant_no: int | None
    key_id: str | None
    operation: str | None
    source: str | None
    reason_code: str | None


class Entries(BaseModel):
    """A page, oldest first. `next` is null on the last page, else the `after` of the next one."""

    entries: list[Entry]
    next: str | None
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


@router.get("/entries")
async def entries(
    billing: TheBilling,
    key: Owner,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,16}:[0-9]{1,4}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = _PAGE,
) -> Entries:
    """The statement, oldest line first. `after` is `next` of the page before."""
    facts = await ask(billing.ledger, "entries", key.account_id, after=after, limit=limit)
    return Entries(
        entries=[_entry(row) for row in facts["entries"]],
        next=facts["next"],
        as_of_position=facts["as_of_position"],
    )


def _entry(row: dict[str, Any]) -> Entry:
    unit = row["unit"]
    amounts = {
        name: decimal_text(int(row[name]), unit) for name in ("amount", "available", "reserved")
    }
    kept = {name: row[name] for name in Entry.model_fields if name in row}
    return Entry(**kept | amounts, request_id=row["res"])
