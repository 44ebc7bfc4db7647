"""Open reservations: listed, and given back by an operator (docs/adr/0012)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.commands import Release, ReleaseData
from libs.events.fields import ReasonCode
from libs.events.ids import is_id
from libs.events.money import decimal_text
from services.gateway.admin.context import AccountId, IdempotencyKey, TheAdmin, correlation_id
from services.gateway.admin.places import Place, across
from services.gateway.admin.roles import role
from services.gateway.fields import Body
from services.gateway.ledger_calls import ask, carry_out
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import declined

router = APIRouter(tags=["reservations"])

Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,5}:(req_[0-9a-f]{32})?$")]


class OpenReservation(BaseModel):
    """`amount` is held until `expires_at`, as nanos: accounts of several units are in one list.

    Key, operation and time of opening may be null for a moment.
    """

    reservation_id: str
    account_id: str
    key_id: str | None
    operation: str | None
    amount_nanos: str
    opened_at: str | None
    expires_at: str
    position: int


class OpenReservations(BaseModel):
    """A page. `next` is the `after` of the next one, null on the last."""

    reservations: list[OpenReservation]
    next: str | None


class ToRelease(Body):
    """`reason_code` stands in the log for good."""

    reason_code: ReasonCode


class Released(BaseModel):
    account_id: str
    reservation_id: str
    unit: str
    released: str
    available: str
    position: int


@router.get("/reservations", response_model=OpenReservations, responses=CSV)
async def list_reservations(
    admin: TheAdmin, form: TheForm, after: Cursor = None, limit: Limit = PAGE
) -> Response | BaseModel:
    """The open reservations of all accounts, in the order of their ids within each partition."""
    partition, _, res = (after or "0:").partition(":")
    place: Place = (int(partition), res or None)
    partitions = admin.catalogue.ledger.partitions
    rows, following = await across(
        admin.ledger, partitions, "reservations", "reservations", place, limit
    )
    cursor = f"{following[0]}:{following[1] or ''}" if following else None
    page = OpenReservations(reservations=[_open(row) for row in rows], next=cursor)
    return form.of(page, "reservations")


@router.get("/accounts/{account_id}/reservations", response_model=OpenReservations, responses=CSV)
async def list_reservations_of(
    admin: TheAdmin,
    account_id: AccountId,
    form: TheForm,
    after: Annotated[str | None, Query(pattern="^req_[0-9a-f]{32}$")] = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The open reservations of one account."""
    facts = await ask(admin.ledger, "reservations", account_id, after=after, limit=limit)
    page = OpenReservations(
        reservations=[_open(row) for row in facts["reservations"]], next=facts["next"]
    )
    return form.of(page, "reservations")


def _open(row: dict[str, Any]) -> OpenReservation:
    kept = {name: row[name] for name in OpenReservation.model_fields if name in row}
    return OpenReservation(**kept, amount_nanos=row["amount"])


@router.post("/accounts/{account_id}/reservations/{reservation_id}/release", **role("admin"))
async def release(
    admin: TheAdmin,
    account_id: AccountId,
    reservation_id: str,
    body: ToRelease,
    _idempotency_key: IdempotencyKey,
) -> Released:
    """Give a hold back now instead of at its deadline. What still runs under it is not paid for."""
    if not is_id(reservation_id, "req"):
        raise declined({"code": "unknown_reservation"})
    unit = await admin.unit_of(account_id)
    command = Release(
        caller_id=reservation_id,
        account_id=account_id,
        correlation_id=correlation_id(),
        data=ReleaseData(res=reservation_id, reason_code=body.reason_code),
    )
    reply = await carry_out(admin.ledger, command, unit)
    return Released(
        account_id=account_id,
        reservation_id=reservation_id,
        unit=unit,
        released=decimal_text(int(reply.data["released"]), unit),
        available=decimal_text(int(reply.data["available"]), unit),
        position=reply.position or 0,
    )
