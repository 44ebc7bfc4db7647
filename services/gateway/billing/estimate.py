"""What a request would hold, by which prices, and whether it fits; nothing is held (PRC-10)."""

from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field

from libs.catalogue import Operation, Plan, price_lines
from libs.events.money import decimal_text
from services.gateway.asgi import SURFACES
from services.gateway.billing.context import Billing, Caller, TheBilling
from services.gateway.errors import Refusal
from services.gateway.estimate import Bound, affordable_cap, cap_within
from services.gateway.fields import Body, invalid
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import ask
from services.gateway.offers import Offer
from services.gateway.problems import Problem
from services.gateway.surfaces.protocol import Surface

router = APIRouter(tags=["prices"])

PATH: Final = "/estimate"
_SURFACES: Final = {surface.path: surface for surface in SURFACES}


class WhatToEstimate(Body):
    """`path` is where the request would go; `body` is what it would send there.

    A body given as a text is taken byte for byte; an object as it is written without spaces.
    """

    path: str = Field(max_length=2048, pattern="^/[!-~]*$")
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    body: dict[str, Any] | str = Field(default_factory=dict)


class Estimate(BaseModel):
    """Amounts are decimal texts of `unit`; tokens are null for an operation.

    `bound` is the most the request can cost. It is let in when at least `at_least` is available;
    then up to `bound` is held (`would_hold`), which allows `max_output_tokens` for each choice.
    `max_affordable_output_tokens`: a cap with which it fits, 0 for none. `fits` is about the
    balance alone: spending limits of the key and the account come on top. `prices` are the price
    lines by which it is charged, as in /prices.
    """

    kind: Literal["model", "operation"]
    name: str
    surface: str
    unit: str
    catalogue: str
    bound: str
    at_least: str
    input_tokens: int | None
    max_output_tokens: int | None
    max_affordable_output_tokens: int | None
    available: str
    fits: bool
    would_hold: str | None
    prices: dict[str, Any]


@router.post(PATH)
async def estimate(billing: TheBilling, key: Caller, wanted: WhatToEstimate) -> Estimate:
    """The bound of a request to any surface or operation, without sending or holding it.

    Needs an inference key, as the request itself would.
    """
    facts = await ask(billing.ledger, "balance", key.account_id)
    available = int(facts["available"])
    try:
        surface = _SURFACES.get(wanted.path) if wanted.method == "POST" else None
        if surface is not None:
            return _of_model(billing, key, surface, _raw(wanted), available)
        return _of_operation(billing, key, _operation(billing, wanted), available)
    except Refusal as refusal:
        raise _problem(refusal) from refusal


def _of_model(
    billing: Billing, key: KeyInfo, surface: Surface, raw: bytes, available: int
) -> Estimate:
    parsed = surface.parse(raw)
    offer = billing.offers.model(key, parsed.model, surface.shape)
    bound = surface.bound(parsed, offer)
    held = min(bound.amount, available) if available >= bound.at_least else None
    return Estimate(
        **_shared(billing, key, offer.name, bound.amount, bound.at_least, available),
        kind="model",
        surface=surface.name,
        input_tokens=bound.input_tokens,
        **_caps(offer, bound, held, available),
    )


def _caps(offer: Offer, bound: Bound, held: int | None, available: int) -> dict[str, int | None]:
    if not bound.cap:
        return {"max_output_tokens": None, "max_affordable_output_tokens": None}
    return {
        "max_output_tokens": bound.cap if held is None else cap_within(offer, bound, held),
        "max_affordable_output_tokens": affordable_cap(offer, bound, available),
    }


def _of_operation(billing: Billing, key: KeyInfo, operation: Operation, available: int) -> Estimate:
    price = billing.offers.operation(key, operation)
    return Estimate(
        **_shared(billing, key, operation.name, price, price, available),
        kind="operation",
        surface="operation",
        input_tokens=None,
        max_output_tokens=None,
        max_affordable_output_tokens=None,
    )


def _shared(
    billing: Billing, key: KeyInfo, name: str, amount: int, at_least: int, available: int
) -> dict[str, Any]:
    fits = available >= at_least
    would_hold = decimal_text(min(amount, available), key.unit) if fits else None
    return {
        "name": name,
        "unit": key.unit,
        "catalogue": billing.catalogue.hash,
        "bound": decimal_text(amount, key.unit),
        "at_least": decimal_text(at_least, key.unit),
        "available": decimal_text(available, key.unit),
        "fits": fits,
        "would_hold": would_hold,
        "prices": _line(billing, billing.plan_of(key), name),
    }


def _line(billing: Billing, plan: Plan, name: str) -> dict[str, Any]:
    lines = price_lines(billing.catalogue, plan)
    return next(line for line in lines if line["name"] == name)


def _raw(wanted: WhatToEstimate) -> bytes:
    try:
        return wanted.body.encode() if isinstance(wanted.body, str) else orjson.dumps(wanted.body)
    except (TypeError, UnicodeEncodeError):
        raise invalid("body", "holds what JSON cannot say") from None


def _operation(billing: Billing, wanted: WhatToEstimate) -> Operation:
    for operation in billing.catalogue.operations.values():
        if (operation.method, operation.path) == (wanted.method, wanted.path):
            return operation
    if found := billing.templates.find(wanted.method, wanted.path.encode()):
        return found.operation
    known = ", ".join(sorted(_SURFACES))
    raise invalid("path", f"is no surface and no operation; surfaces are {known}")


def _problem(refusal: Refusal) -> Problem:
    """The refusal that the request itself would get, as a problem document."""
    members: dict[str, Any] = {} if refusal.param is None else {"param": refusal.param}
    return Problem(refusal.status, refusal.code, refusal.message, **members)
