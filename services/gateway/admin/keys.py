"""The keys of an account, for an operator."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from services.gateway.admin.context import AccountId, IdempotencyKey, KeyId, TheAdmin
from services.gateway.admin.roles import role
from services.gateway.issuing import (
    ISSUED_BEFORE,
    IssuedKey,
    Keys,
    KeyToIssue,
    RevokedKey,
    Rotation,
    issue,
    key_id_for,
    keys_of,
    repeated,
    replacement,
    revoke,
    wish_of,
)
from services.gateway.pages import CSV, PAGE, Limit, TheForm

router = APIRouter(prefix="/accounts/{account_id}/keys", tags=["keys"])


@router.get("", response_model=Keys, responses=CSV)
async def list_keys(
    admin: TheAdmin,
    account_id: AccountId,
    form: TheForm,
    after: Annotated[str | None, Query(pattern="^(active|revoked):[0-9]{1,16}$")] = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The keys of the account: active ones first, then revoked ones, the latest first."""
    unit = await admin.unit_of(account_id)
    return form.of(await keys_of(admin.ledger, account_id, unit, after, limit), "keys")


@router.post("", status_code=201, responses=ISSUED_BEFORE, **role("support"))
async def issue_key(
    admin: TheAdmin,
    account_id: AccountId,
    body: KeyToIssue,
    idempotency_key: IdempotencyKey,
    response: Response,
) -> IssuedKey:
    """Issue a key. The answer is the only place where its secret ever stands.

    Repeated with the same Idempotency-Key: 200 without a secret. If the secret was lost,
    revoke the key and issue another.
    """
    unit = await admin.unit_of(account_id)
    key_id = key_id_for("issue key", account_id, idempotency_key)
    issued, new = await issue(admin, account_id, unit, key_id, wish_of(admin, body, unit))
    response.status_code = 201 if new else 200
    return issued


@router.post("/{key_id}/rotate", status_code=201, responses=ISSUED_BEFORE, **role("support"))
async def rotate_key(
    admin: TheAdmin,
    account_id: AccountId,
    key_id: KeyId,
    body: Rotation,
    idempotency_key: IdempotencyKey,
    response: Response,
) -> IssuedKey:
    """Make a key in place of another, which goes on for a while and then ends by itself."""
    unit = await admin.unit_of(account_id)
    new_id = key_id_for(f"rotate {key_id}", account_id, idempotency_key)
    before = await repeated(admin, account_id, unit, new_id, key_id)
    if before is not None:
        response.status_code = 200
        return before
    wish = await replacement(admin, account_id, key_id, body)
    issued, _ = await issue(admin, account_id, unit, new_id, wish)
    return issued


@router.delete("/{key_id}", **role("support"))
async def revoke_key(admin: TheAdmin, account_id: AccountId, key_id: KeyId) -> RevokedKey:
    """End a key at once; repeating it changes nothing."""
    return await revoke(admin.ledger, account_id, key_id, "operator")
