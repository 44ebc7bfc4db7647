"""The owner's own limits (ACC-8)."""

from fastapi import APIRouter

from services.gateway.billing.context import MaybeIdempotencyKey, Owner, TheBilling
from services.gateway.spend_limits import Limits, LimitsToSet, limits_of, set_limits

router = APIRouter(prefix="/limits", tags=["limits"])


@router.get("")
async def show_limits(billing: TheBilling, key: Owner) -> Limits:
    """What the account may spend in a UTC day and month, and what it has."""
    return await limits_of(billing.ledger, key.account_id, key.unit)


@router.put("")
async def put_limits(
    billing: TheBilling,
    key: Owner,
    body: LimitsToSet,
    idempotency_key: MaybeIdempotencyKey = None,
) -> Limits:
    """Set all limits at once. Requests beyond them are refused with 402 (`account_cap`)."""
    return await set_limits(billing.ledger, key.account_id, key.unit, body, idempotency_key)
