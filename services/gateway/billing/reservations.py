"""Reservations for services that are not proxied (RSV-7): hold, extend, then settle or release."""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.catalogue import Catalogue, Operation
from libs.events import fields
from libs.events.commands import (
    Command,
    Extend,
    ExtendData,
    Release,
    ReleaseData,
    Reserve,
    ReserveData,
    Settle,
    SettleData,
)
from libs.events.ids import id_of, is_id
from libs.events.money import decimal_text
from libs.events.replies import Reply
from services.gateway.billing.context import (
    Billing,
    IdempotencyKey,
    OwnerOrService,
    Service,
    TheBilling,
)
from services.gateway.billing.receipts import attached_calls
from services.gateway.billing.reservation_bodies import (
    Closed,
    Create,
    Extension,
    Giving,
    OpenReservation,
    OpenReservations,
    Reservation,
    Reserved,
    Settlement,
)
from services.gateway.fields import Money, invalid, nanos
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import (
    DEADLINE,
    GIVE_UP_S,
    Conflicting,
    ask,
    carry_out,
    named_uuid,
)
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import Problem, declined, problems

router = APIRouter(prefix="/reservations", tags=["reservations"])

SURFACE: Final = "reservation"
_ENDED: Final = {"Settle": "settled", "Release": "released"}
"""What a reservation is after the first of these; a second one in other words changes nothing."""


def _named(reservation_id: str) -> str:
    if not is_id(reservation_id, "req"):
        raise declined({"code": "unknown_reservation"})
    return reservation_id


ReservationId = Annotated[str, Depends(_named)]


@router.post("", status_code=201, responses=problems(402, 404))
async def reserve(
    billing: TheBilling, key: Service, body: Create, idempotency_key: IdempotencyKey
) -> Reserved:
    """Hold credits before the work begins. The same Idempotency-Key gets the first answer again."""
    # The id is made here: of the account and the key, so that nobody can name another's.
    res = id_of("req", named_uuid("reserve", key.account_id, key.key_id, idempotency_key))
    command = Reserve(
        caller_id=res,
        account_id=key.account_id,
        deadline=billing.ledger.ledger_now() + DEADLINE,
        correlation_id=res,
        data=_wanted(billing, key, body),
    )
    reply = await _carry_out(billing, command, key)
    billing.openers.remember(res, key)
    return _reserved(reply, key.unit, "amount")


def _wanted(billing: Billing, key: KeyInfo, body: Create) -> ReserveData:
    common = {
        "key_id": key.key_id,
        "surface": SURFACE,
        "hold_ms": body.hold_s * 1000,
        "catalogue": billing.catalogue.hash,
        "tags": body.tags,
    }
    if body.operation is not None:
        if body.amount is not None or body.at_least is not None:
            raise invalid("amount", "an operation has its own price; leave amounts out")
        operation, price = _sold(billing, key, body.operation)
        fee = operation.fee
        return ReserveData(
            **common,
            operation=operation.name,
            amount=price,
            at_least=price,
            at_deadline=body.at_deadline or operation.unsettled,
            attached_cost_ceiling=operation.attached_cost_ceiling,
            fee=fee and fields.Fee(currency=fee.currency, minor=fee.minor, schedule=fee.schedule),
        )
    if body.amount is None:
        raise invalid("operation", "name an operation, or an amount")
    amount = nanos(body.amount, key.unit, "amount")
    least = amount if body.at_least is None else nanos(body.at_least, key.unit, "at_least")
    if least > amount:
        raise invalid("at_least", "is above amount")
    at_deadline = body.at_deadline or "release"
    return ReserveData(
        **common, operation=SURFACE, amount=amount, at_least=least, at_deadline=at_deadline
    )


def _sold(billing: Billing, key: KeyInfo, name: str) -> tuple[Operation, int]:
    operation = billing.catalogue.operations.get(name)
    price = operation.price.get(key.unit) if operation is not None else None
    if operation is None or price is None or name not in billing.plan_of(key).sells:
        raise Problem(404, "unknown_operation", f"This account's plan sells no operation {name!r}.")
    return operation, price


@router.post("/{reservation_id}/extend", responses=problems(402))
async def extend(
    billing: TheBilling,
    key: Service,
    reservation_id: ReservationId,
    body: Extension,
    idempotency_key: IdempotencyKey,
) -> Reserved:
    """Hold more, or longer: totals, so that a repeat changes nothing."""
    res = reservation_id
    await _own(billing, key, res)
    digest = hashlib.sha256(idempotency_key.encode()).digest()
    command = Extend(
        caller_id=f"extend:{res}:{int.from_bytes(digest[:4])}",
        account_id=key.account_id,
        deadline=billing.ledger.ledger_now() + DEADLINE,
        correlation_id=res,
        data=ExtendData(
            res=res,
            total=nanos(body.total, key.unit, "total"),
            hold_ms=body.hold_s * 1000,
            used_so_far=nanos(body.used_so_far, key.unit, "used_so_far", least=0),
        ),
    )
    return _reserved(await _carry_out(billing, command, key), key.unit, "total")


@router.post("/{reservation_id}/settle")
async def settle(
    billing: TheBilling, key: Service, reservation_id: ReservationId, body: Settlement
) -> Closed:
    """Charge what the work cost; the rest comes back. Done once: a repeat gets the first answer."""
    res = reservation_id
    facts = await _own(billing, key, res, whole=body.charge is None)
    if body.charge is None:
        charge, basis = int(facts["reserved"]), "fixed"
    else:
        charge, basis = nanos(body.charge, key.unit, "charge", least=0), "actual"
    command = Settle(
        caller_id=res,
        account_id=key.account_id,
        correlation_id=res,
        data=SettleData(res=res, charge=charge, margin=0, basis=basis, usage=body.usage),
    )
    return _closed(await _carry_out(billing, command, key), key.unit)


@router.post("/{reservation_id}/release")
async def release(
    billing: TheBilling, key: Service, reservation_id: ReservationId, body: Giving | None = None
) -> Closed:
    """Give everything back. Done once: a repeat gets the first answer."""
    res = reservation_id
    await _own(billing, key, res)
    command = Release(
        caller_id=res,
        account_id=key.account_id,
        correlation_id=res,
        data=ReleaseData(res=res, reason_code=(body or Giving()).reason_code),
    )
    return _closed(await _carry_out(billing, command, key), key.unit)


@router.get("/{reservation_id}")
async def reservation(
    billing: TheBilling, key: OwnerOrService, reservation_id: ReservationId
) -> Reservation:
    """What became of one: a service key sees its own, an account key all of its account."""
    res = reservation_id
    facts = await _own(billing, key, res, whole=True)
    return _told(facts, key.unit, billing.catalogue)


@router.get("", response_model=OpenReservations, responses=CSV)
async def open_reservations(
    billing: TheBilling,
    key: OwnerOrService,
    form: TheForm,
    after: Annotated[str | None, Query(pattern="^req_[0-9a-f]{32}$")] = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """What is held of the key's account now, also for requests of other keys."""
    facts = await ask(billing.ledger, "reservations", key.account_id, after=after, limit=limit)
    page = OpenReservations(
        reservations=[_open(row, key.unit) for row in facts["reservations"]],
        next=facts["next"],
        as_of_position=facts["as_of_position"],
    )
    return form.of(page, "reservations")


def _open(row: dict[str, Any], unit: str) -> OpenReservation:
    kept = {name: row[name] for name in OpenReservation.model_fields if name in row}
    return OpenReservation(**kept | {"amount": decimal_text(int(row["amount"]), unit)}, unit=unit)


async def _own(billing: Billing, key: KeyInfo, res: str, *, whole: bool = False) -> dict[str, Any]:
    """Refuse a reservation that another key opened; its receipt when it is wanted `whole`."""
    if key.purpose == "service" and not await billing.openers.opened(res, key):
        raise declined({"code": "unknown_reservation"})
    if not whole:
        return {}
    return await ask(billing.ledger, "request", key.account_id, res=res)


async def _carry_out(billing: Billing, command: Command, key: KeyInfo) -> Reply:
    """As `carry_out`, in the words of a reservation."""
    try:
        return await carry_out(billing.ledger, command, key.unit)
    except Conflicting:
        reply = await billing.ledger.send(command, give_up_s=GIVE_UP_S)
        code = str(reply.data.get("code"))
        if code == "fingerprint":
            if command.kind not in _ENDED:
                raise
            code = _ENDED[command.kind]
        detail = f"The reservation was {code} before; that stands."
        raise Problem(409, f"already_{code}", detail) from None
    except Problem as problem:
        if problem.code == "unknown_catalogue":
            detail = (
                "The prices of this gateway are not in force; nothing is held. Its operator "
                "publishes them with `farebox catalogue publish`."
            )
            raise Problem(503, problem.code, detail, headers={"retry-after": "1"}) from None
        raise


def _reserved(reply: Reply, unit: str, amount: str) -> Reserved:
    data = reply.data
    return Reserved(
        reservation_id=data["res"],
        unit=unit,
        amount=decimal_text(int(data[amount]), unit),
        expires_at=_instant(data["expires_at"]),
        available=decimal_text(int(data["available"]), unit),
        position=reply.position or 0,
    )


def _instant(value: str | datetime) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _closed(reply: Reply, unit: str) -> Closed:
    data = reply.data
    return Closed(
        reservation_id=data["res"],
        unit=unit,
        charge=decimal_text(int(data.get("charge", 0)), unit),
        released=decimal_text(int(data["released"]), unit),
        available=decimal_text(int(data["available"]), unit),
        position=reply.position or 0,
    )


def _told(facts: dict[str, Any], unit: str, catalogue: Catalogue) -> Reservation:
    amounts = {
        name: decimal_text(int(facts[name] or 0), unit)
        for name in ("reserved", "charge", "released")
    }
    calls = facts.get("calls") or ()
    cost = sum(int(call["cost_bound"] if call["cost"] is None else call["cost"]) for call in calls)
    kept = {name: facts[name] for name in Reservation.model_fields if name in facts}
    return Reservation(
        **kept | amounts,
        unit=unit,
        attached_cost=Money(
            amount=decimal_text(cost, catalogue.currency), currency=catalogue.currency
        ),
        attached_calls=attached_calls(facts, catalogue.currency),
    )
