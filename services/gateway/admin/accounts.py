"""Accounts: opened, listed, shown, moved to another plan, closed."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.catalogue import Plan
from libs.events.commands import (
    ChangePlan,
    ChangePlanData,
    CloseAccount,
    CloseAccountData,
    OpenAccount,
    OpenAccountData,
)
from libs.events.fields import FreeText, ReasonCode
from libs.events.ids import account_for_external_id, id_of, partition_of
from libs.events.money import decimal_text
from services.gateway.admin.context import (
    AccountId,
    Admin,
    IdempotencyKey,
    TheAdmin,
    correlation_id,
)
from services.gateway.admin.places import Place, across
from services.gateway.admin.roles import role
from services.gateway.fields import Body
from services.gateway.issuing import KeyView, keys_of
from services.gateway.ledger_calls import Conflicting, ask, carry_out, named_uuid
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import Problem

router = APIRouter(prefix="/accounts", tags=["accounts"])

_KEYS_SHOWN = 100


class AccountToOpen(Body):
    """`external_id` is your own name for the account; the same one gives the same account."""

    plan: str
    external_id: FreeText | None = None


class OpenedAccount(BaseModel):
    """`initial` is what the plan gave at the opening, as decimal text.

    Null when that was nothing, or when the account is an older one and its plan has changed since.
    """

    account_id: str
    unit: str
    plan: str
    initial: str | None
    external_id: str | None


class Account(BaseModel):
    """Amounts are decimal texts of `unit`."""

    account_id: str
    external_id: str | None
    unit: str
    plan: str
    status: str
    available: str
    reserved: str
    total: str


class Accounts(BaseModel):
    """A page. `next` is the `after` of the next one, null on the last."""

    accounts: list[Account]
    next: str | None


class AccountView(BaseModel):
    """Amounts are decimal texts of `unit`; `freezes` are the reasons that stand.

    `keys`: the first hundred, active ones first; …/keys lists them all.
    """

    account_id: str
    unit: str
    plan: str
    status: str
    freezes: list[str]
    available: str
    reserved: str
    total: str
    keys: list[KeyView]
    as_of_position: int


class PlanToChange(Body):
    """A plan of the account's unit."""

    plan: str


class ChangedPlan(BaseModel):
    account_id: str
    plan: str
    position: int


class AccountToClose(Body):
    """`write_off`: what is left is taken; without it an account with credits stays open."""

    reason_code: ReasonCode
    write_off: bool = False
    note: FreeText | None = None


class ClosedAccount(BaseModel):
    account_id: str
    status: str
    position: int


@router.get("", response_model=Accounts, responses=CSV)
async def list_accounts(
    admin: TheAdmin,
    form: TheForm,
    external_id: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="The account of this name.")
    ] = None,
    after: Annotated[str | None, Query(pattern="^acct_[0-9a-f]{32}$")] = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """All accounts, in an order that does not change, or the one of an external_id."""
    if external_id is not None:
        return form.of(await _named(admin, external_id), "accounts")
    partitions = admin.catalogue.ledger.partitions
    place: Place = (0, None) if after is None else (partition_of(after, partitions), after)
    rows, following = await across(admin.ledger, partitions, "accounts", "accounts", place, limit)
    accounts = [_account(row) for row in rows]
    page = Accounts(accounts=accounts, next=accounts[-1].account_id if following and rows else None)
    return form.of(page, "accounts")


async def _named(admin: Admin, external_id: str) -> Accounts:
    account_id = account_for_external_id(external_id)
    facts = await ask(admin.ledger, "balance", account_id)
    row = {name: facts[name] for name in Account.model_fields if name in facts}
    found = _account(row | {"account_id": account_id, "external_id": external_id})
    return Accounts(accounts=[found], next=None)


def _account(row: dict[str, Any]) -> Account:
    amounts = {
        name: decimal_text(int(row[name]), row["unit"])
        for name in ("available", "reserved", "total")
    }
    return Account(**row | amounts)


@router.post("", status_code=201, **role("support"))
async def open_account(
    admin: TheAdmin, body: AccountToOpen, idempotency_key: IdempotencyKey
) -> OpenedAccount:
    """Open an account of a plan, with what the plan gives at the start.

    With an `external_id` that is already open on this plan, the answer is that account.
    """
    plan = admin.plan(body.plan)
    initial = None if plan.initial is None else decimal_text(plan.initial, plan.unit)
    command = _command(admin, plan, body.external_id, idempotency_key)
    try:
        await carry_out(admin.ledger, command, plan.unit)
    except Conflicting:
        if body.external_id is None:
            raise
        await _check_same_plan(admin, command.account_id, plan)
        initial = None
    return OpenedAccount(
        account_id=command.account_id,
        unit=plan.unit,
        plan=plan.name,
        initial=initial,
        external_id=body.external_id,
    )


def _command(
    admin: Admin, plan: Plan, external_id: str | None, idempotency_key: str
) -> OpenAccount:
    if external_id is None:
        account_id = id_of("acct", named_uuid("open account", idempotency_key))
    else:
        account_id = account_for_external_id(external_id)
    hashed = None if external_id is None else hashlib.sha256(external_id.encode()).hexdigest()
    return OpenAccount(
        caller_id=account_id,
        account_id=account_id,
        correlation_id=correlation_id(),
        data=OpenAccountData(
            unit=plan.unit,
            plan=plan.name,
            initial=plan.initial,
            external_id_hash=hashed,
            external_id=external_id,
            catalogue=admin.catalogue.hash,
        ),
    )


async def _check_same_plan(admin: Admin, account_id: str, plan: Plan) -> None:
    """What the plan gives at the start may have changed since; the account is the same one."""
    facts = await ask(admin.ledger, "balance", account_id)
    if (facts["plan"], facts["unit"]) != (plan.name, plan.unit):
        detail = f"The external_id belongs to {account_id}, which is on plan {facts['plan']!r}."
        raise Problem(409, "external_id_taken", detail, account_id=account_id)


@router.get("/{account_id}")
async def show_account(admin: TheAdmin, account_id: AccountId) -> AccountView:
    """The balance, the standing and the keys of an account."""
    facts = await ask(admin.ledger, "balance", account_id)
    unit = facts["unit"]
    keys = await keys_of(admin.ledger, account_id, unit, None, _KEYS_SHOWN)
    return AccountView(
        account_id=account_id,
        unit=unit,
        plan=facts["plan"],
        status=facts["status"],
        freezes=facts["freezes"],
        available=decimal_text(int(facts["available"]), unit),
        reserved=decimal_text(int(facts["reserved"]), unit),
        total=decimal_text(int(facts["total"]), unit),
        keys=keys.keys,
        as_of_position=facts["as_of_position"],
    )


@router.post("/{account_id}/plan", **role("admin"))
async def change_plan(
    admin: TheAdmin, account_id: AccountId, body: PlanToChange, idempotency_key: IdempotencyKey
) -> ChangedPlan:
    """Sell to the account by another plan of its unit from now on."""
    plan, unit = admin.plan(body.plan), await admin.unit_of(account_id)
    if plan.unit != unit:
        detail = f"The account counts in {unit}, the plan {plan.name!r} in {plan.unit}."
        raise Problem(422, "unit_mismatch", detail, unit=unit)
    command = ChangePlan(
        caller_id=str(named_uuid("change plan", account_id, idempotency_key)),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=ChangePlanData(plan=plan.name, catalogue=admin.catalogue.hash),
    )
    reply = await carry_out(admin.ledger, command, unit)
    return ChangedPlan(account_id=account_id, plan=plan.name, position=reply.position or 0)


@router.post("/{account_id}/close", **role("admin"))
async def close_account(
    admin: TheAdmin, account_id: AccountId, body: AccountToClose, idempotency_key: IdempotencyKey
) -> ClosedAccount:
    """Close an account for good and revoke its keys; nothing may be running."""
    unit = await admin.unit_of(account_id)
    command = CloseAccount(
        caller_id=str(named_uuid("close account", account_id, idempotency_key)),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=CloseAccountData(
            write_off=body.write_off, reason_code=body.reason_code, note=body.note
        ),
    )
    reply = await carry_out(admin.ledger, command, unit)
    return ClosedAccount(account_id=account_id, status="closed", position=reply.position or 0)
