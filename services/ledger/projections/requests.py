"""The receipts: one row for every admitted request, from its reservation to its end. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from services.ledger.projections.entries import Data, digits_of, total

NAME = "requests"


class Request(NamedTuple):
    """A row of `requests`, in the order of its columns. Amounts in nanos, JSON as text.

    Ids are the 32 hex digits of their uuids, which PostgreSQL takes as they are.
    """

    reservation_id: str
    partition: int
    account_id: str
    key_id: str
    operation: str
    surface: str
    model: str | None
    status: int | None
    state: str
    reserved: int
    charge: int
    margin: int
    cost_pico: int | None
    released: int
    refunded: int
    loss: int
    loss_kind: str | None
    basis: str | None
    usage: str | None
    route: str | None
    route_reason: str | None
    attempts: str | None
    finish: str | None
    fee: str | None
    tags: str
    catalogue: str | None
    opened_at: datetime
    closed_at: datetime | None
    opened_position: int
    closed_position: int | None
    available_after: int | None
    calls: str | None = None
    """The calls attached to it, in their order; amounts in nanos of the catalogue's currency."""


class UnknownRequest(LookupError):
    """An event names a reservation that no earlier event of the log opened."""


def subject(event: Data) -> str | None:
    """The reservation whose row this event changes, None when it changes none."""
    return digits_of(event["data"]["res"]) if event["type"] in CHANGES else None


def apply(row: Request | None, event: Data) -> Request:
    """The row after this event. Raises UnknownRequest when there is no row to change."""
    if event["type"] == "CreditsReserved":
        return _opened(event)
    if row is None:
        raise UnknownRequest(event["data"]["res"])
    return CHANGES[event["type"]](row, event)


def _opened(event: Data) -> Request:
    data = event["data"]
    return Request(
        reservation_id=digits_of(data["res"]),
        partition=event["partition"],
        account_id=digits_of(event["account_id"]),
        key_id=digits_of(data["key_id"]),
        operation=data["operation"],
        surface=data["surface"],
        model=None,
        status=None,
        state="open",
        reserved=int(data["amount"]),
        charge=0,
        margin=0,
        cost_pico=None,
        released=0,
        refunded=0,
        loss=0,
        loss_kind=None,
        basis=None,
        usage=None,
        route=None,
        route_reason=None,
        attempts=None,
        finish=None,
        fee=_json(data["fee"]),
        tags=_json(data["tags"]) or "{}",
        catalogue=data["catalogue"],
        opened_at=datetime.fromisoformat(event["occurred_at"]),
        closed_at=None,
        opened_position=event["position"],
        closed_position=None,
        available_after=None,
    )


def _reopened(_row: Request, event: Data) -> Request:
    return _opened(event)


def _extended(row: Request, event: Data) -> Request:
    return row._replace(reserved=int(event["data"]["total"]))


def _charged(row: Request, event: Data) -> Request:
    """Amounts add up: a late settlement comes on top of what its expiry has booked."""
    data = event["data"]
    cost = data["cost_pico"]
    fee = data["fee"]
    return _closed(
        row,
        event,
        "settled",
        charge=row.charge + int(data["charge"]),
        margin=row.margin + int(data["margin"]),
        cost_pico=row.cost_pico if cost is None else int(cost),
        released=row.released + total(data["returned"]),
        loss=row.loss + int(data["loss"]),
        loss_kind=data["loss_kind"] or row.loss_kind,
        basis=data["basis"],
        usage=_json(data["usage"]),
        model=data["model"],
        route=data["route"],
        route_reason=data["route_reason"],
        attempts=_json(data["attempts"]),
        finish=data["finish"],
        status=data["status"],
        fee=row.fee if fee is None else _json(fee),
    )


def _released(row: Request, event: Data) -> Request:
    data = event["data"]
    return _closed(
        row,
        event,
        "released",
        released=int(data["amount"]),
        route=data["route"],
        attempts=_json(data["attempts"]),
        status=data["status"],
        fee=None if data["fee_reversed"] else row.fee,
    )


def _expired(row: Request, event: Data) -> Request:
    data = event["data"]
    loss = int(data["loss"])
    return _closed(
        row,
        event,
        "expired",
        charge=int(data["charge"]),
        margin=int(data["margin"]),
        released=total(data["returned"]),
        loss=loss,
        loss_kind="unsettled" if loss else None,
        fee=None if data["fee_reversed"] else row.fee,
    )


def _attached(row: Request, event: Data) -> Request:
    data = event["data"]
    call = {
        "call_id": data["call_id"],
        "cost_bound": data["cost_bound"],
        "until": data["until"],
        "cost": None,
        "above_bound": False,
        "usage": None,
        "model": None,
        "route": None,
    }
    return row._replace(calls=_json([*_calls(row), call]))


def _detached(row: Request, event: Data) -> Request:
    data = event["data"]
    calls = _calls(row)
    for call in calls:
        if call["call_id"] == data["call_id"]:
            call.update({name: data[name] for name in ("cost", "usage", "model", "route")})
            call["above_bound"] = int(data["cost"]) > int(call["cost_bound"])
    return row._replace(calls=_json(calls))


def _calls(row: Request) -> list[dict[str, Any]]:
    return list(orjson.loads(row.calls)) if row.calls else []


def _refunded(row: Request, event: Data) -> Request:
    data = event["data"]
    return row._replace(
        refunded=row.refunded + int(data["amount"]),
        fee=None if data["fee_reversed"] else row.fee,
    )


def _closed(row: Request, event: Data, state: str, **columns: Any) -> Request:
    return row._replace(
        state=state,
        closed_at=datetime.fromisoformat(event["occurred_at"]),
        closed_position=event["position"],
        available_after=int(event["data"]["available"]),
        **columns,
    )


def _json(value: Any) -> str | None:
    if value is None:
        return None
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


CHANGES: Mapping[str, Callable[[Request, Data], Request]] = {
    "CreditsReserved": _reopened,
    "ReservationExtended": _extended,
    "CreditsCharged": _charged,
    "CreditsReleased": _released,
    "ReservationExpired": _expired,
    "CreditsRefunded": _refunded,
    "CallAttached": _attached,
    "CallDetached": _detached,
}
