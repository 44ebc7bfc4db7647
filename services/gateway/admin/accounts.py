"""Opening and showing accounts."""

import hashlib
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from libs.catalogue import Plan
from libs.events.commands import OpenAccount, OpenAccountData
from libs.events.fields import FreeText
from libs.events.ids import account_for_external_id, id_of
from libs.events.money import decimal_text
from services.gateway.admin.context import (
    AccountId,
    Admin,
    IdempotencyKey,
    TheAdmin,
    correlation_id,
)
from services.gateway.admin.keys import KeyView, key_view
from services.gateway.fields import Body
from services.gateway.ledger_calls import Conflicting, ask, carry_out, named_uuid
from services.gateway.problems import Problem

router = APIRouter(prefix="/accounts", tags=["accounts"])


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


class AccountView(BaseModel):
    """Amounts are decimal texts of `unit`; `freezes` are the reasons that stand."""

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


@router.post("", status_code=201)
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
    keys = await ask(admin.ledger, "keys", account_id)
    return _view(account_id, facts, [key_view(row) for row in keys["keys"]])


def _view(account_id: str, facts: dict[str, Any], keys: list[KeyView]) -> AccountView:
    unit = facts["unit"]
    return AccountView(
        account_id=account_id,
        unit=unit,
        plan=facts["plan"],
        status=facts["status"],
        freezes=facts["freezes"],
        available=decimal_text(int(facts["available"]), unit),
        reserved=decimal_text(int(facts["reserved"]), unit),
        total=decimal_text(int(facts["total"]), unit),
        keys=keys,
        as_of_position=facts["as_of_position"],
    )
