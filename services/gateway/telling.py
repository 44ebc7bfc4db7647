"""What the ledger's lists are to a customer and to an operator: rows with decimal texts.

Each function asks for one page of one account; /billing/v1 asks for the account of the key,
/admin/v1 for any.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date
from typing import Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from libs.events.list_queries import UsageKey
from libs.events.money import decimal_text, minor_text
from services.gateway.costs import cost_of
from services.gateway.fields import Money
from services.gateway.ledger_calls import Ledger, ask
from services.gateway.problems import Problem


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


async def entries_of(ledger: Ledger, account_id: str, after: str | None, limit: int) -> Entries:
    facts = await ask(ledger, "entries", account_id, after=after, limit=limit)
    return Entries(
        entries=[_entry(row) for row in facts["entries"]],
        next=facts["next"],
        as_of_position=facts["as_of_position"],
    )


def _entry(row: dict[str, Any]) -> Entry:
    amounts = _decimals(row, row["unit"], ("amount", "available", "reserved"))
    kept = {name: row[name] for name in Entry.model_fields if name in row}
    return Entry(**kept | amounts, request_id=row["res"])


def _decimals(row: dict[str, Any], unit: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: None if row[name] is None else decimal_text(int(row[name]), unit) for name in names
    }


class Grant(BaseModel):
    """A lot of credits, and what became of it; amounts are decimal texts of `unit`.

    granted = available + reserved + (charged - refunded) + expired + clawed_back + moved. `moved`
    went into the grants that refunds of an expired one opened; such a grant names its `parent_no`.
    `shortfall`: what a clawback could not get back, because it was spent.
    """

    grant_id: str | None
    grant_no: int
    source: str
    priority: int
    granted_at: str
    expires_at: str | None
    paid: Money | None
    payment: str | None
    pack: str | None
    parent_no: int | None
    reason_code: str | None
    unit: str
    granted: str
    available: str
    reserved: str
    charged: str
    refunded: str
    expired: str
    clawed_back: str
    moved: str
    shortfall: str
    position: int


class Grants(BaseModel):
    """A page, the oldest first; `next` is the `after` of the next one."""

    grants: list[Grant]
    next: int | None
    as_of_position: int


_PARTS: Final = (
    "granted", "available", "reserved", "charged", "refunded", "expired", "clawed", "moved",
    "shortfall",
)  # fmt: skip


async def grants_of(
    ledger: Ledger, account_id: str, unit: str, after: int | None, limit: int
) -> Grants:
    facts = await ask(ledger, "grants", account_id, after=after, limit=limit)
    return Grants(
        grants=[_grant(row, unit) for row in facts["grants"]],
        next=facts["next"],
        as_of_position=facts["as_of_position"],
    )


def _grant(row: dict[str, Any], unit: str) -> Grant:
    amounts = _decimals(row, unit, _PARTS)
    amounts["clawed_back"] = amounts.pop("clawed")
    kept = {name: row[name] for name in Grant.model_fields if name in row}
    paid = row["paid"] and Money(
        amount=minor_text(row["paid"]["minor"], row["paid"]["currency"]),
        currency=row["paid"]["currency"],
    )
    return Grant(**kept | amounts | {"unit": unit, "paid": paid})


class Use(BaseModel):
    """What was used; null where it is not grouped by that, and `model` of what is no model's.

    `requests` ended, `released` of them without a charge. `charged` and `refunded` are those of
    the statement's lines of these days; `usage` sums up what was metered, by kind.
    """

    day: str | None
    model: str | None
    key_id: str | None
    operation: str | None
    requests: int
    released: int
    unit: str
    charged: str
    margin: str
    refunded: str
    upstream_cost: Money | None
    usage: dict[str, int]


class UsageReport(BaseModel):
    """From one UTC day to another, both included; `next` is the `after` of the next page."""

    first_day: str
    last_day: str
    rows: list[Use]
    next: str | None
    as_of_position: int


async def usage_of(
    ledger: Ledger,
    account_id: str,
    unit: str,
    days: tuple[date, date],
    group: tuple[str, ...],
    after: str | None,
    limit: int,
    currency: str,
    tags: dict[str, str] | None = None,
) -> UsageReport:
    first, last = (day.isoformat() for day in days)
    question: dict[str, Any] = {"from": first, "to": last, "group": group, "limit": limit}
    if tags is not None:
        question["tags"] = tags
    if after is not None:
        question["after"] = _place(after)
    facts = await ask(ledger, "usage", account_id, **question)
    return UsageReport(
        first_day=first,
        last_day=last,
        rows=[_use(row, unit, currency) for row in facts["rows"]],
        next=facts["next"] and _cursor(facts["next"]),
        as_of_position=facts["as_of_position"],
    )


def _use(row: dict[str, Any], unit: str, currency: str) -> Use:
    amounts = _decimals(row, unit, ("charged", "margin", "refunded"))
    kept = {name: row[name] for name in Use.model_fields if name in row}
    cost = cost_of(row["cost_pico"], currency)
    return Use(**kept | amounts | {"unit": unit, "upstream_cost": cost})


def _cursor(key: dict[str, Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def _place(cursor: str) -> dict[str, Any]:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return UsageKey.model_validate_json(raw).model_dump()
    except (ValueError, ValidationError):
        detail = "after: not the `next` of a page"
        raise Problem(422, "invalid_request", detail) from None


class Fee(BaseModel):
    """A fee that accrued, or was given back (negative); `total` is the sum so far of its kind."""

    position: int
    occurred_at: str
    request_id: str
    key_id: str | None
    operation: str | None
    currency: str
    schedule: str
    amount: str
    total: str


class FeeTotal(BaseModel):
    """What stands accrued now in a currency under a schedule."""

    currency: str
    schedule: str
    amount: str


class Fees(BaseModel):
    """A page, oldest first; `totals` are of all lines. Fees are no part of the balance."""

    fees: list[Fee]
    totals: list[FeeTotal]
    next: int | None
    as_of_position: int


async def fees_of(ledger: Ledger, account_id: str, after: int | None, limit: int) -> Fees:
    facts = await ask(ledger, "fees", account_id, after=after, limit=limit)
    return Fees(
        fees=[_fee(row) for row in facts["fees"]],
        totals=[
            FeeTotal(**row | {"amount": minor_text(row["minor"], row["currency"])})
            for row in facts["totals"]
        ],
        next=facts["next"],
        as_of_position=facts["as_of_position"],
    )


def _fee(row: dict[str, Any]) -> Fee:
    currency = row["currency"]
    amounts = {
        "amount": minor_text(row["minor"], currency),
        "total": minor_text(row["total"], currency),
    }
    return Fee(**row | amounts | {"request_id": row["res"]})
