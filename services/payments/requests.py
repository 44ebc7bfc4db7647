"""What other services ask of payments over NATS: `payments.requests.<name>`.

An answer is `{"ok": true, "data": {...}}` or `{"ok": false, "code": ..., "message": ...}`.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import orjson
from faststream.nats import NatsBroker, NatsMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.catalogue.book import Catalogue
from libs.events import times
from libs.events.fields import AccountId, Currency, Name, Unit
from libs.events.money import decimal_text, minor_text
from libs.events.subjects import payments_request
from libs.runtime import metrics
from services.payments.checkout import Checkout
from services.payments.customers import Customers
from services.payments.errors import (
    ObjectMissing,
    RequestRefused,
    StripeRefused,
    StripeUnavailable,
)
from services.payments.orders import Order, Orders
from services.payments.stripe_api import StripeApi

log = logging.getLogger(__name__)

INBOX = "inbox."
AT_ONCE = 32
"""Requests of one kind that are worked on at the same time."""
Data = dict[str, Any]
Question = Callable[[bytes], Awaitable[Data | None]]


class Asked(BaseModel):
    """What every request says: for which account it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    account_id: AccountId


class PacksAsked(Asked):
    unit: Unit
    plan: Name


class CheckoutAsked(Asked):
    unit: Unit
    plan: Name
    pack: Name
    currency: Currency
    key: str | None = Field(default=None, pattern="^[ -~]{1,255}$")


class OrderAsked(Asked):
    top_up_id: Name | None = None
    last: bool = False


class OrdersAsked(Asked):
    after: Name | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class SetupAsked(Asked):
    key: str | None = Field(default=None, pattern="^[ -~]{1,128}$")


class Desk:
    """Answers the questions. Each method takes the bytes of one and returns its data."""

    def __init__(
        self,
        catalogue: Catalogue,
        checkout: Checkout,
        orders: Orders,
        customers: Customers,
        stripe: StripeApi,
    ) -> None:
        self._catalogue = catalogue
        self._checkout = checkout
        self._orders = orders
        self._customers = customers
        self._stripe = stripe

    async def packs(self, raw: bytes) -> Data:
        """The packs that the account's plan sells; prices in decimal text by currency."""
        asked = PacksAsked.model_validate_json(raw)
        plan = self._catalogue.plans.get(asked.plan)
        sold = [self._catalogue.packs[name] for name in plan.packs] if plan else []
        return {
            "packs": [
                {
                    "id": pack.name,
                    "unit": pack.unit,
                    "gives": decimal_text(pack.gives, pack.unit),
                    "prices": {unit: minor_text(minor, unit) for unit, minor in pack.price.items()},
                    "shelf_months": pack.shelf_months,
                }
                for pack in sold
                if pack.unit == asked.unit
            ]
        }

    async def create_checkout(self, raw: bytes) -> Data:
        """A new order, or the one that this key made before."""
        asked = CheckoutAsked.model_validate_json(raw)
        order = await self._checkout.create(
            asked.account_id, asked.unit, asked.plan, asked.pack, asked.currency, asked.key
        )
        return {
            "top_up_id": order.order_id,
            "checkout_url": order.checkout_url,
            "state": order.state,
        }

    async def order(self, raw: bytes) -> Data | None:
        """One order of the account; or its last one, null when it never ordered."""
        asked = OrderAsked.model_validate_json(raw)
        if asked.last:
            last = await self._orders.last_of(asked.account_id)
            return None if last is None else order_data(last)
        order = await self._orders.get(asked.top_up_id or "")
        if order is None or order.account_id != asked.account_id:
            raise RequestRefused("unknown_order", "the account has no such top-up")
        return order_data(order)

    async def orders(self, raw: bytes) -> Data:
        """The orders of the account, the latest first, page by page."""
        asked = OrdersAsked.model_validate_json(raw)
        found = await self._orders.of(asked.account_id, asked.after, asked.limit + 1)
        page = found[: asked.limit]
        following = page[-1].order_id if len(page) < len(found) else None
        return {"top_ups": [order_data(order) for order in page], "next": following}

    async def payment_method(self, raw: bytes) -> Data:
        """The saved card that a recharge would be charged to, read from Stripe; null without."""
        asked = Asked.model_validate_json(raw)
        customer = await self._customers.get(asked.account_id)
        if customer is None or customer.payment_method is None:
            return {"payment_method": None}
        try:
            card = await self._stripe.saved_card(customer.payment_method)
        except ObjectMissing:
            return {"payment_method": None}
        return {
            "payment_method": {
                "type": card.kind,
                "brand": card.brand,
                "last4": card.last4,
                "exp_month": card.exp_month,
                "exp_year": card.exp_year,
            }
        }

    async def create_setup(self, raw: bytes) -> Data:
        """A page on which the account saves a card."""
        asked = SetupAsked.model_validate_json(raw)
        return {"setup_url": await self._checkout.save_card(asked.account_id, asked.key)}

    async def portal_link(self, raw: bytes) -> Data:
        """A link into Stripe's customer portal."""
        asked = Asked.model_validate_json(raw)
        return {"portal_url": await self._checkout.portal(asked.account_id)}


def order_data(order: Order) -> Data:
    """An order as it is shown: decimal texts, and what became of it."""
    return {
        "top_up_id": order.order_id,
        "state": order.state,
        "pack": order.pack,
        "unit": order.unit,
        "gives": decimal_text(order.credits, order.unit),
        "price": minor_text(order.price, order.currency),
        "currency": order.currency,
        "created_at": times.to_text(order.created_at),
        "checkout_url": order.checkout_url if order.state == "open" else None,
        "payment": order.payment_intent,
        "grant_id": order.grant_id,
    }


async def answer_requests(broker: NatsBroker, desk: Desk) -> None:
    """Subscribe a started broker to every question, shared by all payments processes."""
    questions: dict[str, Question] = {
        "packs": desk.packs,
        "create_checkout": desk.create_checkout,
        "order": desk.order,
        "orders": desk.orders,
        "payment_method": desk.payment_method,
        "create_setup": desk.create_setup,
        "portal_link": desk.portal_link,
    }
    for name, question in questions.items():
        subscriber = broker.subscriber(
            payments_request(name),
            queue="payments",
            decoder=_undecoded,
            no_reply=True,
            max_workers=AT_ONCE,
        )
        subscriber(_responder(question))
        await subscriber.start()


async def _undecoded(message: NatsMessage) -> bytes:
    """Bytes that are no question must reach the responder, to be answered too."""
    return message.body


def _responder(
    question: Question,
) -> Callable[[NatsMessage], Awaitable[None]]:
    refused = metrics.counter(
        "payments_replies_refused_total", "Requests whose reply would not go to an inbox."
    )

    async def respond(message: NatsMessage) -> None:
        raw = message.raw_message
        # This process may publish money commands: an answer must never become one.
        if not raw.reply.startswith(INBOX):
            refused.inc()
            log.error("request with reply subject %r", raw.reply[:80])
            return
        await raw.respond(orjson.dumps(await _answer(question, raw.data)))

    return respond


async def _answer(question: Question, raw: bytes) -> Data:
    try:
        return {"ok": True, "data": await question(raw)}
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return _refusal("malformed", f"{place}: {first['msg']}")
    except RequestRefused as error:
        return _refusal(error.code, error.message)
    except StripeRefused as error:
        log.exception("Stripe refused a request")
        return _refusal("stripe_refused", error.code)
    except StripeUnavailable as error:
        log.warning("%s", error)
        return _refusal("unavailable", "Stripe does not answer; try again")
    except Exception:  # a question must be answered, whatever goes wrong
        log.exception("request")
        return _refusal("internal", "payments failed")


def _refusal(code: str, message: str) -> Data:
    return {"ok": False, "code": code, "message": message}
