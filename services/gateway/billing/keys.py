"""The owner's keys: listed, made, replaced with an overlap, ended (ACC-4)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.ids import is_id
from services.gateway.billing.context import MaybeIdempotencyKey, Owner, TheBilling
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
from services.gateway.problems import Problem, declined

router = APIRouter(prefix="/keys", tags=["keys"])

KeyCursor = Annotated[str | None, Query(pattern="^(active|revoked):[0-9]{1,16}$")]


def _key(key_id: str) -> str:
    if not is_id(key_id, "key"):
        raise declined({"code": "unknown_key"})
    return key_id


KeyId = Annotated[str, Depends(_key)]


class OwnKeyToIssue(KeyToIssue):
    """`allowed`: the models and operations it may use, all that the plan sells when null.

    An inference key spends; an account key reads the statement, buys, manages keys and limits.
    Only the operator issues service keys: calls under their reservations cost the operator, also
    when the work is then given back. Caps are decimal texts of the account's unit, in all and for
    each UTC day and month; they are counted on through rotations.
    """

    purpose: Literal["inference", "account"]


@router.get("", response_model=Keys, responses=CSV)
async def list_keys(
    billing: TheBilling, key: Owner, form: TheForm, after: KeyCursor = None, limit: Limit = PAGE
) -> Response | BaseModel:
    """The keys of the account: active ones first, then revoked ones, the latest first."""
    page = await keys_of(billing.ledger, key.account_id, key.unit, after, limit)
    return form.of(page, "keys")


@router.post("", status_code=201, responses=ISSUED_BEFORE)
async def issue_key(
    billing: TheBilling,
    key: Owner,
    body: OwnKeyToIssue,
    response: Response,
    idempotency_key: MaybeIdempotencyKey = None,
) -> IssuedKey:
    """Make a key. The answer is the only place where its secret ever stands.

    Repeated with the same Idempotency-Key: 200 without a secret. If the secret was lost, revoke
    the key and make another.
    """
    key_id = key_id_for("issue key", key.account_id, idempotency_key)
    wish = wish_of(billing, body, key.unit)
    issued, new = await issue(billing, key.account_id, key.unit, key_id, wish)
    response.status_code = 201 if new else 200
    return issued


@router.post("/{key_id}/rotate", status_code=201, responses=ISSUED_BEFORE)
async def rotate_key(
    billing: TheBilling,
    key: Owner,
    key_id: KeyId,
    body: Rotation,
    response: Response,
    idempotency_key: MaybeIdempotencyKey = None,
) -> IssuedKey:
    """Make a key in place of another, which goes on for a while and then ends by itself.

    What either of them spends counts against the caps of both. Not of a service key.
    """
    new_id = key_id_for(f"rotate {key_id}", key.account_id, idempotency_key)
    before = await repeated(billing, key.account_id, key.unit, new_id, key_id)
    if before is not None:
        response.status_code = 200
        return before
    wish = await replacement(billing, key.account_id, key_id, body)
    if wish.purpose == "service":
        raise Problem(403, "operator_only", "Only the operator replaces service keys.")
    issued, _ = await issue(billing, key.account_id, key.unit, new_id, wish)
    return issued


@router.delete("/{key_id}")
async def revoke_key(billing: TheBilling, key: Owner, key_id: KeyId) -> RevokedKey:
    """End a key at once; repeating it changes nothing. Also the key that asks."""
    return await revoke(billing.ledger, key.account_id, key_id, "owner")
