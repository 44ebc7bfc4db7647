"""Putting things right by hand: refunds of charges, and corrections of a balance (CRD-7)."""

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from libs.events.commands import (
    Clawback,
    ClawbackData,
    GrantCredits,
    GrantCreditsData,
    Refund,
    RefundData,
)
from libs.events.fields import FreeText, GrantNo, ReasonCode
from libs.events.ids import is_id, partition_of
from libs.events.money import decimal_text
from services.gateway.admin.context import (
    AccountId,
    Admin,
    IdempotencyKey,
    TheAdmin,
    correlation_id,
)
from services.gateway.admin.roles import role
from services.gateway.fields import AmountText, Body, invalid, nanos
from services.gateway.ledger_calls import Conflicting, ask, carry_out, named_uuid
from services.gateway.problems import Problem, declined

router = APIRouter(prefix="/accounts/{account_id}", tags=["corrections"])

SignedText = Annotated[
    str, StringConstraints(strict=True, pattern=r"^-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?$")
]


class ToRefund(Body):
    """`amount`: what is given back of the charge; without it all that is left, and the fee too.

    `reason_code` stands in the log for good; `note` is for people and can be erased.
    """

    request_id: str
    amount: AmountText | None = None
    reason_code: ReasonCode
    note: FreeText | None = None


class Refunded(BaseModel):
    """`refund_no` counts the refunds of the request.

    `child_grant_id`: a new grant, because what the request had spent has expired since.
    """

    account_id: str
    request_id: str
    refund_no: int
    unit: str
    amount: str
    whole: bool
    child_grant_id: str | None
    available: str
    position: int


class Correction(Body):
    """`amount` is signed: above zero it is granted, below it is taken of what is available.

    What is taken comes off the grants in the order in which they are spent, or off `grant_no`.
    """

    amount: SignedText
    reason_code: ReasonCode
    grant_no: GrantNo | None = None
    note: FreeText | None = None


class Corrected(BaseModel):
    """`grants`: the numbers of the grants that were made or taken from."""

    account_id: str
    unit: str
    amount: str
    grants: list[int]
    available: str
    reserved: str
    position: int


@router.post("/refunds", status_code=201, **role("support"))
async def refund(
    admin: TheAdmin, account_id: AccountId, body: ToRefund, idempotency_key: IdempotencyKey
) -> Refunded:
    """Give back a charge, or a part of it; never more than was charged."""
    if not is_id(body.request_id, "req"):
        raise declined({"code": "unknown_request"})
    unit, whole = await admin.unit_of(account_id), body.amount is None
    if body.amount is None:
        amount = await _left(admin, account_id, body.request_id)
    else:
        amount = nanos(body.amount, unit, "amount")
    command = _refund(account_id, body, amount, idempotency_key)
    try:
        reply = await carry_out(admin.ledger, command, unit)
    except Conflicting as conflict:
        # All that was left then is not what is left now: the repeat is known by its first events.
        if not whole or conflict.position is None:
            raise
        return await _done_before(admin, command, unit, conflict)
    return Refunded(
        account_id=account_id,
        request_id=body.request_id,
        refund_no=reply.data["refund_no"],
        unit=unit,
        amount=decimal_text(int(reply.data["amount"]), unit),
        whole=whole,
        child_grant_id=reply.data["child"] and reply.data["child"]["grant_id"],
        available=decimal_text(int(reply.data["available"]), unit),
        position=reply.position or 0,
    )


def _refund(account_id: str, body: ToRefund, amount: int, idempotency_key: str) -> Refund:
    return Refund(
        caller_id=f"refund:{body.request_id}:{_number(idempotency_key)}",
        account_id=account_id,
        correlation_id=correlation_id(),
        data=RefundData(
            res=body.request_id,
            amount=amount,
            whole=body.amount is None,
            reason_code=body.reason_code,
            note=body.note,
        ),
    )


async def _left(admin: Admin, account_id: str, request_id: str) -> int:
    """What a charge has left to be given back; of a whole refund that is repeated, the charge."""
    facts = await ask(admin.ledger, "request", account_id, res=request_id)
    charge = int(facts["charge"] or 0)
    left = charge - int(facts["refunded"] or 0)
    if not charge:
        raise Problem(409, "nothing_charged", "This request was not charged.", state=facts["state"])
    return left or charge


async def _done_before(admin: Admin, command: Refund, unit: str, conflict: Conflicting) -> Refunded:
    """The answer that the first of several equal requests got, from the events it wrote."""
    partition = partition_of(command.account_id, admin.catalogue.ledger.partitions)
    question = {"from": conflict.position, "limit": 200}
    told = await admin.ledger.query("events", question, partition=partition)
    bodies: list[dict[str, Any]] = [orjson.loads(row["body"]) for row in told["data"]["events"]]
    first = bodies[0]
    mine = [body for body in bodies if body["command_id"] == first["command_id"]]
    events = [body["data"] for body in mine if body["type"] == "CreditsRefunded"]
    if first["account_id"] != command.account_id or not events or not events[0]["whole"]:
        raise conflict
    children = [data["child"]["grant_id"] for data in events if data["child"]]
    return Refunded(
        account_id=command.account_id,
        request_id=command.data.res,
        refund_no=events[0]["refund_no"],
        unit=unit,
        amount=decimal_text(sum(int(data["amount"]) for data in events), unit),
        whole=True,
        child_grant_id=children[0] if children else None,
        available=decimal_text(int(events[-1]["available"]), unit),
        position=first["position"],
    )


def _number(idempotency_key: str) -> int:
    """Which refund of the request this is: the same for every repeat."""
    return int.from_bytes(hashlib.sha256(idempotency_key.encode()).digest()[:8]) % 10**10


@router.post("/adjustments", status_code=201, **role("admin"))
async def adjust(
    admin: TheAdmin, account_id: AccountId, body: Correction, idempotency_key: IdempotencyKey
) -> Corrected:
    """Correct a balance upwards or downwards; the statement says `adjustment`."""
    unit = await admin.unit_of(account_id)
    amount = nanos(body.amount.removeprefix("-"), unit, "amount")
    command: Clawback | GrantCredits
    if body.amount.startswith("-"):
        command = _down(account_id, body, amount, idempotency_key)
    else:
        if body.grant_no is not None:
            raise invalid("grant_no", "what is given makes a grant of its own")
        command = _up(admin, account_id, body, amount, idempotency_key)
    reply = await carry_out(admin.ledger, command, unit)
    grants = reply.data.get("grants") or [reply.data["grant_no"]]
    return Corrected(
        account_id=account_id,
        unit=unit,
        amount=body.amount,
        grants=list(grants),
        available=decimal_text(int(reply.data["available"]), unit),
        reserved=decimal_text(int(reply.data["reserved"]), unit),
        position=reply.position or 0,
    )


def _up(
    admin: Admin, account_id: str, body: Correction, amount: int, idempotency_key: str
) -> GrantCredits:
    return GrantCredits(
        caller_id=str(named_uuid("adjust", account_id, idempotency_key)),
        account_id=account_id,
        correlation_id=correlation_id(),
        data=GrantCreditsData(
            source="admin",
            amount=amount,
            priority=0,
            catalogue=admin.catalogue.hash,
            reason_code=body.reason_code,
            note=body.note,
        ),
    )


def _down(account_id: str, body: Correction, amount: int, idempotency_key: str) -> Clawback:
    if body.note is not None:
        raise invalid("note", "the ledger keeps no note of a correction downwards")
    return Clawback(
        caller_id=str(named_uuid("adjust", account_id, idempotency_key)),
        account_id=account_id,
        correlation_id=f"{body.reason_code}:{correlation_id()}",
        data=ClawbackData(cause="adjustment", amount=amount, grant_no=body.grant_no),
    )
