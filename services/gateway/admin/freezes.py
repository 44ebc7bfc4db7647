"""Freezing an account and lifting a freeze, each for a named reason."""

from fastapi import APIRouter
from pydantic import BaseModel

from libs.events.commands import (
    FreezeAccount,
    FreezeAccountData,
    UnfreezeAccount,
    UnfreezeAccountData,
)
from libs.events.fields import FreeText, FreezeReason
from services.gateway.admin.context import AccountId, IdempotencyKey, TheAdmin, correlation_id
from services.gateway.admin.roles import role
from services.gateway.fields import Body
from services.gateway.ledger_calls import carry_out, named_uuid

router = APIRouter(prefix="/accounts/{account_id}", tags=["freezes"])


class Freeze(Body):
    """`reason`: manual, or the dispute or warning it is about, such as `dispute:dp_1`."""

    reason: FreezeReason
    revoke_keys: bool = False
    note: FreeText | None = None


class Unfreeze(Body):
    """`reason`: the one to lift; the account stays frozen while another stands."""

    reason: FreezeReason
    note: FreeText | None = None


class FreezeChange(BaseModel):
    account_id: str
    reason: str
    position: int


def _caller_id(verb: str, account_id: str, reason: str, idempotency_key: str) -> str:
    """A freeze by hand is one of many; one for a dispute is the same fact whoever states it."""
    if reason == "manual":
        return str(named_uuid(verb, account_id, idempotency_key))
    return f"{verb}:{reason}"


@router.post("/freeze", **role("support"))
async def freeze_account(
    admin: TheAdmin, account_id: AccountId, body: Freeze, idempotency_key: IdempotencyKey
) -> FreezeChange:
    """Stop all spending of an account at once; what runs already is still settled."""
    command = FreezeAccount(
        caller_id=_caller_id("freeze", account_id, body.reason, idempotency_key),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=FreezeAccountData(reason=body.reason, revoke_keys=body.revoke_keys, note=body.note),
    )
    reply = await carry_out(admin.ledger, command)
    return FreezeChange(account_id=account_id, reason=body.reason, position=reply.position or 0)


@router.post("/unfreeze", **role("support"))
async def unfreeze_account(
    admin: TheAdmin, account_id: AccountId, body: Unfreeze, idempotency_key: IdempotencyKey
) -> FreezeChange:
    """Lift one reason; spending goes on when none is left."""
    command = UnfreezeAccount(
        caller_id=_caller_id("unfreeze", account_id, body.reason, idempotency_key),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=UnfreezeAccountData(reason=body.reason, note=body.note),
    )
    reply = await carry_out(admin.ledger, command)
    return FreezeChange(account_id=account_id, reason=body.reason, position=reply.position or 0)
