"""Granting credits: issued with a reason, never with money."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from libs.events.commands import GrantCredits, GrantCreditsData
from libs.events.fields import FreeText, ReasonCode
from libs.events.money import decimal_text
from services.gateway.admin.context import AccountId, IdempotencyKey, TheAdmin, correlation_id
from services.gateway.admin.roles import role
from services.gateway.fields import AmountText, Body, Moment, nanos
from services.gateway.ledger_calls import carry_out, named_uuid

router = APIRouter(prefix="/accounts/{account_id}/grants", tags=["grants"])


class CreditsToGrant(Body):
    """`reason_code` stands in the log for good; `note` is for people and can be erased.

    `source`: `admin` for credits that are given, on the statement an adjustment; `import` for those
    that an account had elsewhere, on the statement a top-up.
    """

    amount: AmountText
    reason_code: ReasonCode
    source: Literal["admin", "import"] = "admin"
    note: FreeText | None = None
    expires_at: Moment | None = None


class GrantedCredits(BaseModel):
    """`available` and `reserved` are the balance right after the grant."""

    grant_id: str
    grant_no: int
    account_id: str
    unit: str
    amount: str
    expires_at: str | None
    available: str
    reserved: str
    position: int


@router.post("", status_code=201, **role("admin"))
async def grant_credits(
    admin: TheAdmin, account_id: AccountId, body: CreditsToGrant, idempotency_key: IdempotencyKey
) -> GrantedCredits:
    """Give an account credits, or bring in those it had elsewhere."""
    unit = await admin.unit_of(account_id)
    command = GrantCredits(
        caller_id=str(named_uuid("grant credits", account_id, idempotency_key)),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=GrantCreditsData(
            source=body.source,
            amount=nanos(body.amount, unit, "amount"),
            priority=0,
            expires_at=body.expires_at,
            catalogue=admin.catalogue.hash,
            reason_code=body.reason_code,
            note=body.note,
        ),
    )
    reply = await carry_out(admin.ledger, command, unit)
    return GrantedCredits(
        grant_id=reply.data["grant_id"],
        grant_no=reply.data["grant_no"],
        account_id=account_id,
        unit=unit,
        amount=decimal_text(command.data.amount, unit),
        expires_at=reply.data["expires_at"],
        available=decimal_text(int(reply.data["available"]), unit),
        reserved=decimal_text(int(reply.data["reserved"]), unit),
        position=reply.position or 0,
    )
