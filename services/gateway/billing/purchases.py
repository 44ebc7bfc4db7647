"""Buying credits: packs, checkout and top-ups, all answered by payments."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.fields import Currency, Name
from libs.events.ids import is_id
from services.gateway.billing.context import MaybeIdempotencyKey, Owner, TheBilling
from services.gateway.billing.payments import STRIPE_S
from services.gateway.fields import Body
from services.gateway.keys import KeyInfo
from services.gateway.pages import CSV, PAGE, Limit, TheForm
from services.gateway.problems import Problem, problems

router = APIRouter(tags=["purchases"], responses=problems(502))


class Pack(BaseModel):
    """What a pack gives, as decimal text of `unit`, and its price in each currency offered."""

    id: str
    unit: str
    gives: str
    prices: dict[str, str]
    shelf_months: int | None


class Packs(BaseModel):
    packs: list[Pack]


class PackToBuy(Body):
    pack: Name
    currency: Currency


class Checkout(BaseModel):
    """Send the buyer to `checkout_url` (null once that page is closed) and follow the top-up."""

    top_up_id: str
    checkout_url: str | None
    state: str


class TopUp(BaseModel):
    """`gives` is decimal text of `unit`, `price` of `currency`.

    `state`: created, open, credited, expired, failed or quarantined (a person looks at it).
    """

    top_up_id: str
    state: str
    pack: str
    unit: str
    gives: str
    price: str
    currency: str
    created_at: str
    checkout_url: str | None
    grant_id: str | None


class TopUps(BaseModel):
    """A page, the latest order first; `next` is the `after` of the page with earlier ones."""

    top_ups: list[TopUp]
    next: str | None


def _who(key: KeyInfo) -> dict[str, Any]:
    return {"account_id": key.account_id, "unit": key.unit, "plan": key.plan}


@router.get("/packs", response_model=Packs, responses=CSV)
async def packs(billing: TheBilling, key: Owner, form: TheForm) -> Response | BaseModel:
    """The packs that this account can buy."""
    data = await billing.payments.ask("packs", _who(key))
    return form.of(Packs.model_validate(data), "packs")


@router.post("/checkout", status_code=201)
async def checkout(
    billing: TheBilling,
    key: Owner,
    body: PackToBuy,
    idempotency_key: MaybeIdempotencyKey = None,
) -> Checkout:
    """Order a pack: a page of the payment processor where it can be paid.

    With an Idempotency-Key a repeat answers with the order that was made first.
    """
    fields = _who(key) | {
        "pack": body.pack,
        "currency": body.currency,
        "key": idempotency_key,
    }
    data = await billing.payments.ask("create_checkout", fields, within_s=STRIPE_S)
    return Checkout.model_validate(data)


@router.get("/top-ups", response_model=TopUps, responses=CSV)
async def top_ups(
    billing: TheBilling,
    key: Owner,
    form: TheForm,
    after: Annotated[str | None, Query(pattern="^topup_[0-9a-f]{32}$")] = None,
    limit: Limit = PAGE,
) -> Response | BaseModel:
    """The orders of the account, the latest first, whatever became of them."""
    fields = {"account_id": key.account_id, "after": after, "limit": limit}
    return form.of(TopUps.model_validate(await billing.payments.ask("orders", fields)), "top_ups")


@router.get("/top-ups/{top_up_id}")
async def top_up(billing: TheBilling, key: Owner, top_up_id: str) -> TopUp:
    """What became of an order."""
    if not is_id(top_up_id, "topup"):
        raise Problem(404, "unknown_order", "The account has no top-up with this id.")
    fields = {"account_id": key.account_id, "top_up_id": top_up_id}
    return TopUp.model_validate(await billing.payments.ask("order", fields))
