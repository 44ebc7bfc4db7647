"""What the account's plan sells, at which price."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from libs.catalogue import price_lines
from services.gateway.billing.context import Caller, TheBilling
from services.gateway.pages import CSV, TheForm
from services.gateway.problems import problems

router = APIRouter(tags=["prices"])


class Prices(BaseModel):
    """`catalogue` names this version of all prices; it is on every receipt.

    A model's prices are per `per_tokens` tokens and hold the margin: tokens x price, summed and
    rounded up once to `step`, is the charge.
    """

    plan: str
    unit: str
    catalogue: str
    prices: list[dict[str, Any]]


@router.get("/prices", response_model=Prices, responses=CSV | problems(409))
async def prices(billing: TheBilling, key: Caller, form: TheForm) -> Response | BaseModel:
    """Every model and operation that this account can use, in its unit."""
    plan = billing.plan_of(key)
    told = Prices(
        plan=plan.name,
        unit=plan.unit,
        catalogue=billing.catalogue.hash,
        prices=list(price_lines(billing.catalogue, plan)),
    )
    return form.of(told, "prices")
