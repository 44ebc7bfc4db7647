"""The spend limits of an account, for an operator."""

from fastapi import APIRouter

from services.gateway.admin.context import AccountId, MaybeIdempotencyKey, TheAdmin
from services.gateway.admin.roles import role
from services.gateway.spend_limits import Limits, LimitsToSet, limits_of, set_limits

router = APIRouter(prefix="/accounts/{account_id}/limits", tags=["limits"])


@router.get("")
async def show_limits(admin: TheAdmin, account_id: AccountId) -> Limits:
    """What the account may spend in a UTC day and month, and what it has."""
    return await limits_of(admin.ledger, account_id, await admin.unit_of(account_id))


@router.put("", **role("support"))
async def put_limits(
    admin: TheAdmin,
    account_id: AccountId,
    body: LimitsToSet,
    idempotency_key: MaybeIdempotencyKey = None,
) -> Limits:
    """Set all limits of the account at once."""
    unit = await admin.unit_of(account_id)
    return await set_limits(admin.ledger, account_id, unit, body, idempotency_key)
