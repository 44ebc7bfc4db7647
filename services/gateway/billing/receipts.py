"""The receipt of one request (PRC-8)."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from libs.events.ids import is_id
from libs.events.money import decimal_text, minor_text
from services.gateway.billing.context import Caller, TheBilling
from services.gateway.costs import cost_of
from services.gateway.fields import Money
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import ask
from services.gateway.problems import declined

router = APIRouter(tags=["requests"])

_AMOUNTS = ("reserved", "charge", "margin", "released", "refunded", "available_after")


class AttachedCall(BaseModel):
    """A call that ran under the request's reservation and charged nothing itself.

    Amounts in the catalogue's currency; `cost` is null while it runs, `above_bound` says that it
    cost more than it was admitted with.
    """

    call_id: str
    cost_bound: str
    cost: str | None
    currency: str
    above_bound: bool
    model: str | None
    route: str | None
    usage: dict[str, Any] | None


class Receipt(BaseModel):
    """What a request reserved, used and cost; null where there is nothing (yet).

    Amounts are decimal texts of `unit`. `upstream_cost` is what the provider charges, exactly;
    `margin` = charge - converted upstream cost. `basis`: actual usage, an estimate when the
    provider reported none, or a fixed price. `available_after` is the balance after the charge.
    """

    request_id: str
    account_id: str
    key_id: str | None
    state: str
    operation: str | None
    surface: str | None
    model: str | None
    http_status: int | None
    unit: str
    reserved: str | None
    charge: str | None
    margin: str | None
    released: str | None
    refunded: str | None
    available_after: str | None
    upstream_cost: Money | None
    fee: Money | None
    basis: str | None
    usage: dict[str, Any] | None
    route: str | None
    route_reason: str | None
    attempts: list[dict[str, Any]] | None
    finish: str | None
    tags: dict[str, Any] | None
    catalogue: str | None
    opened_at: str | None
    closed_at: str | None
    attached_calls: list[AttachedCall]
    as_of_position: int


@router.get("/requests/{request_id}")
async def receipt(billing: TheBilling, key: Caller, request_id: str) -> Receipt:
    """The receipt of one request: an inference key sees its own, an account key all."""
    if not is_id(request_id, "req"):
        raise declined({"code": "unknown_request"})
    facts = await ask(billing.ledger, "request", key.account_id, res=request_id)
    if not _may_see(key, facts):
        raise declined({"code": "unknown_request"})
    return receipt_view(facts, key.unit, billing.catalogue.currency)


def _may_see(key: KeyInfo, facts: dict[str, Any]) -> bool:
    if facts["account_id"] != key.account_id:
        return False
    return key.purpose == "account" or facts["key_id"] == key.key_id


def receipt_view(facts: dict[str, Any], unit: str, currency: str) -> Receipt:
    """A receipt as it is told, of the facts of one request."""
    amounts = {
        name: None if facts[name] is None else decimal_text(int(facts[name]), unit)
        for name in _AMOUNTS
    }
    kept = {name: facts[name] for name in Receipt.model_fields if name in facts}
    return Receipt(
        **kept | amounts | {"fee": _fee(facts["fee"])},
        request_id=facts["reservation_id"],
        http_status=facts["status"],
        unit=unit,
        upstream_cost=cost_of(facts["cost_pico"], currency),
        attached_calls=attached_calls(facts, currency),
    )


def attached_calls(facts: dict[str, Any], currency: str) -> list[AttachedCall]:
    """The calls that ran under a request's reservation, in their order."""
    return [_attached(call, currency) for call in facts.get("calls") or ()]


def _attached(call: dict[str, Any], currency: str) -> AttachedCall:
    cost = call["cost"]
    amounts = {
        "cost_bound": decimal_text(int(call["cost_bound"]), currency),
        "cost": None if cost is None else decimal_text(int(cost), currency),
    }
    kept = {name: call[name] for name in AttachedCall.model_fields if name in call}
    return AttachedCall(**kept | amounts, currency=currency)


def _fee(fee: dict[str, Any] | None) -> Money | None:
    if fee is None:
        return None
    return Money(amount=minor_text(int(fee["minor"]), fee["currency"]), currency=fee["currency"])
