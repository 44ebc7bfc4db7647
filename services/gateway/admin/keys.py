"""Issuing and revoking API keys."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from libs.events.commands import IssueKey, IssueKeyData, RevokeKey, RevokeKeyData
from libs.events.fields import FreeText, Name
from libs.events.ids import id_of, new_secret, partition_of, secret_hash
from libs.events.times import to_text
from services.gateway.admin.context import (
    AccountId,
    Admin,
    IdempotencyKey,
    KeyId,
    TheAdmin,
    correlation_id,
)
from services.gateway.fields import Body, Moment, invalid
from services.gateway.ledger_calls import DEADLINE, Conflicting, ask, carry_out, named_uuid

router = APIRouter(prefix="/accounts/{account_id}/keys", tags=["keys"])

_SHOWN = 6
"""Characters of the secret that are kept as its prefix: enough to know it by, no help to guess."""


class KeyToIssue(Body):
    """`allowed`: the models and operations it may use, all that the plan sells when null.

    An inference key spends; an account key reads the statement, buys and sets auto-recharge; a
    service key reserves for work done elsewhere.
    """

    purpose: Literal["inference", "account", "service"]
    name: FreeText | None = None
    allowed: Annotated[list[Name], Field(min_length=1, max_length=50)] | None = None
    expires_at: Moment | None = None


class IssuedKey(BaseModel):
    """`secret` is shown once: it is null when the key had been issued before."""

    key_id: str
    account_id: str
    purpose: str
    allowed: list[str] | None
    expires_at: str | None
    prefix: str
    secret: str | None


class KeyView(BaseModel):
    key_id: str
    purpose: str
    prefix: str
    allowed: list[str] | None
    expires_at: str | None
    status: str


class RevokedKey(BaseModel):
    key_id: str
    account_id: str
    status: Literal["revoked"]


def key_view(row: dict[str, Any]) -> KeyView:
    """What an operator sees of a row of the query `keys`."""
    return KeyView(**{name: row[name] for name in KeyView.model_fields})


@router.post("", status_code=201, responses={200: {"description": "Issued before; no secret."}})
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
    _check_allowed(admin, body)
    key_id = id_of("key", named_uuid("issue key", account_id, idempotency_key))
    secret = new_secret(partition_of(account_id, admin.catalogue.ledger.partitions))
    command = _command(admin, account_id, key_id, secret, body)
    try:
        await carry_out(admin.ledger, command)
    except Conflicting:
        known = await _issued_before(admin, command)
        response.status_code = 200
        return _answer(command, known, None)
    return _answer(command, command.data.prefix, secret)


def _check_allowed(admin: Admin, body: KeyToIssue) -> None:
    """A misspelt name would make a key that is refused everywhere."""
    catalogue = admin.catalogue
    for name in body.allowed or ():
        if name not in catalogue.models and name not in catalogue.operations:
            raise invalid("allowed", f"the catalogue sells no {name!r}", "unknown_item")


def _command(admin: Admin, account_id: str, key_id: str, secret: str, body: KeyToIssue) -> IssueKey:
    head = secret.index("_", len("fb_")) + 1  # the random part may hold underscores too
    return IssueKey(
        caller_id=key_id,
        account_id=account_id,
        deadline=admin.ledger.ledger_now() + DEADLINE,
        correlation_id=correlation_id(),
        data=IssueKeyData(
            key_id=key_id,
            secret_hash=secret_hash(secret),
            purpose=body.purpose,
            prefix=secret[: head + _SHOWN],
            allowed=None if body.allowed is None else tuple(body.allowed),
            expires_at=body.expires_at,
            name=body.name,
        ),
    )


async def _issued_before(admin: Admin, command: IssueKey) -> str:
    """The prefix of the key when it was issued before just so; raises Conflicting otherwise.

    Two secrets never agree, so the ledger sees other contents in every repeat: what the caller
    asked for is compared here.
    """
    data = command.data
    keys = (await ask(admin.ledger, "keys", command.account_id))["keys"]
    row = next((row for row in keys if row["key_id"] == data.key_id), None)
    if row is None:
        raise Conflicting
    allowed = None if row["allowed"] is None else tuple(row["allowed"])
    if (row["purpose"], allowed) != (data.purpose, data.allowed):
        raise Conflicting
    if row["expires_at"] != (to_text(data.expires_at) if data.expires_at else None):
        raise Conflicting
    return str(row["prefix"])


def _answer(command: IssueKey, prefix: str, secret: str | None) -> IssuedKey:
    data = command.data
    return IssuedKey(
        key_id=data.key_id,
        account_id=command.account_id,
        purpose=data.purpose,
        allowed=None if data.allowed is None else list(data.allowed),
        expires_at=to_text(data.expires_at) if data.expires_at else None,
        prefix=prefix,
        secret=secret,
    )


@router.delete("/{key_id}")
async def revoke_key(admin: TheAdmin, account_id: AccountId, key_id: KeyId) -> RevokedKey:
    """End a key at once; repeating it changes nothing."""
    command = RevokeKey(
        caller_id=f"revoke:{key_id}",
        account_id=account_id,
        correlation_id=correlation_id(),
        data=RevokeKeyData(key_id=key_id, reason_code="operator"),
    )
    await carry_out(admin.ledger, command)
    return RevokedKey(key_id=key_id, account_id=account_id, status="revoked")
