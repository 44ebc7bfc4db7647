"""Selling a pack: our order first, then a Checkout Session that knows its id."""

from stripe.params.checkout import SessionCreateParams

from libs.catalogue.book import Catalogue, Pack
from libs.events.money import CREDIT, decimal_text
from services.payments.customers import Customers
from services.payments.errors import RequestRefused
from services.payments.links import Links
from services.payments.orders import Order, Orders
from services.payments.stripe_api import StripeApi


class Checkout:
    """Creates orders and the hosted pages for them. Calls may raise StripeUnavailable."""

    def __init__(
        self,
        catalogue: Catalogue,
        orders: Orders,
        customers: Customers,
        stripe: StripeApi,
        links: Links,
    ) -> None:
        self._catalogue = catalogue
        self._orders = orders
        self._customers = customers
        self._stripe = stripe
        self._links = links

    async def create(
        self, account_id: str, unit: str, plan: str, pack: str, currency: str, key: str | None
    ) -> Order:
        """The order of a pack, with the page where it is paid.

        A repeat with the same key gives the same order; `checkout_url` is None once its page is
        closed.

        Raises:
            RequestRefused: the plan does not sell the pack, not in this currency, or the key was
                used for another order.
        """
        sold = self._sold(unit, plan, pack, currency)
        order = await self._orders.place(account_id, sold, currency, self._catalogue.hash, key)
        if (order.pack, order.currency) != (pack, currency):
            raise RequestRefused("key_reused", "this key was used for another order")
        if order.state != "created":
            return order
        customer = await self._customers.ensure(account_id)
        await self._orders.assign_customer(order.order_id, customer)
        session = await self._stripe.create_session(
            payment_params(order, customer, self._links), f"checkout:{order.order_id}"
        )
        await self._orders.opened(order.order_id, session)
        opened = await self._orders.get(order.order_id)
        assert opened is not None
        return opened

    async def save_card(self, account_id: str, key: str | None) -> str:
        """The page where a payment method is saved without a payment."""
        customer = await self._customers.ensure(account_id)
        last = await self._orders.last_of(account_id)
        currency = last.currency if last is not None else self._catalogue.currency
        params: SessionCreateParams = {
            "mode": "setup",
            "customer": customer,
            "currency": currency.lower(),
            "metadata": {"account_id": account_id},
            "success_url": self._links.saved,
            "cancel_url": self._links.cancelled,
        }
        session = await self._stripe.create_session(params, f"setup:{account_id}:{key}")
        if session.url is None:
            raise RequestRefused("key_reused", "this page is closed already; use a new key")
        return session.url

    async def portal(self, account_id: str) -> str:
        """A link into Stripe's portal, where the customer sees cards and invoices."""
        customer = await self._customers.get(account_id)
        if customer is None:
            raise RequestRefused("no_customer", "nothing was bought by card yet")
        return await self._stripe.portal_link(customer.customer, self._links.closed)

    def _sold(self, unit: str, plan: str, pack: str, currency: str) -> Pack:
        offered = self._catalogue.plans.get(plan)
        if offered is None or pack not in offered.packs:
            raise RequestRefused("unknown_pack", f"plan {plan} does not sell {pack}")
        found = self._catalogue.packs[pack]
        if found.unit != unit:
            raise RequestRefused("unit_mismatch", f"{pack} is in {found.unit}, the account {unit}")
        if currency not in found.price:
            offers = ", ".join(sorted(found.price))
            raise RequestRefused("unknown_currency", f"{pack} is sold in {offers}")
        return found


def payment_params(order: Order, customer: str, links: Links) -> SessionCreateParams:
    """The session of an order, of fixed parts only: a repeat must be the same to the letter."""
    name = f"{decimal_text(order.credits, order.unit)} {_unit_name(order.unit)}"
    return {
        "mode": "payment",
        "customer": customer,
        "client_reference_id": order.order_id,
        "metadata": {"order_id": order.order_id},
        "payment_intent_data": {
            "metadata": {"order_id": order.order_id},
            "setup_future_usage": "off_session",
        },
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": order.currency.lower(),
                    "unit_amount": order.price,
                    "product_data": {"name": name},
                },
            }
        ],
        "adaptive_pricing": {"enabled": False},  # it would change currency and amount
        "allow_promotion_codes": False,  # a discount would not be what was ordered
        "success_url": links.success,
        "cancel_url": links.cancelled,
    }


def _unit_name(unit: str) -> str:
    return "credits" if unit == CREDIT else f"{unit} prepaid balance"
