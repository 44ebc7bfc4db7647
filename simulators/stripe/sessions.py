"""Checkout Sessions, what their hosted page does, and links into the customer portal."""

from typing import Any

from simulators.stripe.customers import Customers, PaymentMethods
from simulators.stripe.errors import ApiError, invalid
from simulators.stripe.events import EventLog
from simulators.stripe.forms import Params, integer, metadata, required
from simulators.stripe.intents import PaymentIntents
from simulators.stripe.store import Row, Store

LIFE_S = 24 * 3600


class CheckoutSessions:
    """`public_url` is where the hosted pages are reached; it may change with the caller."""

    def __init__(
        self,
        store: Store,
        events: EventLog,
        customers: Customers,
        methods: PaymentMethods,
        intents: PaymentIntents,
    ) -> None:
        self._store = store
        self._events = events
        self._customers = customers
        self._methods = methods
        self._intents = intents
        self._intent_params: dict[str, Params] = {}
        self.public_url = "https://checkout.stripe.com"

    def create(self, params: Params) -> Row:
        """POST /v1/checkout/sessions in mode payment or setup."""
        mode = required(params, "mode")
        if mode not in ("payment", "setup"):
            raise invalid(f"Mode {mode} is not supported here.", param="mode")
        required(params, "success_url")
        if "customer" in params:
            self._customers.living(params["customer"])
        lines = (
            [_priced(line) for line in required(params, "line_items")] if mode == "payment" else []
        )
        currency = lines[0][0] if lines else params.get("currency", "usd")
        if any(line[0] != currency for line in lines):
            raise invalid("All prices must be in one currency.", param="line_items")
        row = self._row(params, mode, currency, sum(line[1] for line in lines) if lines else None)
        row["url"] = f"{self.public_url}/pay/{row['id']}"
        self._intent_params[row["id"]] = params.get("payment_intent_data") or {}
        return row

    def _row(self, params: Params, mode: str, currency: str, amount: int | None) -> Row:
        return self._store.add(
            "checkout.session",
            "cs_test",
            adaptive_pricing={
                "enabled": params.get("adaptive_pricing", {}).get("enabled") == "true"
            },
            allow_promotion_codes=params.get("allow_promotion_codes") == "true",
            amount_subtotal=amount,
            amount_total=amount,
            automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
            cancel_url=params.get("cancel_url"),
            client_reference_id=params.get("client_reference_id"),
            currency=currency,
            custom_fields=[],
            custom_text={
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            customer=params.get("customer"),
            customer_details=None,
            customer_email=params.get("customer_email"),
            expires_at=self._expiry(params),
            metadata=metadata(params),
            mode=mode,
            payment_intent=None,
            payment_method_types=["card", "sepa_debit"],
            payment_status="unpaid" if mode == "payment" else "no_payment_required",
            setup_intent=None,
            shipping_options=[],
            status="open",
            success_url=params["success_url"],
            total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            ui_mode="hosted_page",
        )

    def _expiry(self, params: Params) -> int:
        if "expires_at" not in params:
            return self._store.created() + LIFE_S
        wanted = integer(params, "expires_at")
        if not 1800 <= wanted - self._store.created() <= LIFE_S:
            raise invalid("expires_at must be 30 minutes to 24 hours away.", param="expires_at")
        return wanted

    def retrieve(self, _params: Params, ident: str) -> Row:
        row = self._store.get("checkout.session", ident)
        if row["status"] == "open" and self._store.now() >= row["expires_at"]:
            self._close(row)
        return row

    def expire(self, params: Params, ident: str) -> Row:
        row = self.retrieve(params, ident)
        if row["status"] != "open":
            raise invalid("Only an open Checkout Session can be expired.")
        self._close(row)
        return row

    def page(self, params: Params) -> Row:
        filters = ("customer", "payment_intent", "status")
        return self._store.page("checkout.session", params, "/v1/checkout/sessions", filters)

    def pay(self, ident: str, token: str) -> Row:
        """The customer pressed the button of this test payment method on the hosted page.

        Raises:
            ApiError: 402 declined (the session stays open) or 400 no longer open.
        """
        row = self.retrieve({}, ident)
        if row["status"] != "open":
            raise invalid(f"This Checkout Session is {row['status']}.")
        method = self._methods.make(token)
        if row["mode"] == "setup":
            self._set_up(row, method)
        else:
            intent = self._intent(row)
            self._intents.charge(intent, method, on_session=True)
            row["payment_status"] = "paid" if intent["status"] == "succeeded" else "unpaid"
        row.update(status="complete", url=None)
        self._events.emit("checkout.session.completed", row)
        return row

    def settle(self, ident: str, *, paid: bool = True) -> Row:
        """The bank decides about a delayed payment of this session."""
        row = self._store.get("checkout.session", ident)
        intent = self._store.get("payment_intent", row["payment_intent"])
        if intent["status"] != "processing":
            raise invalid(f"The payment is {intent['status']}.")
        if paid:
            self._intents.succeed(intent)
            row["payment_status"] = "paid"
            self._events.emit("checkout.session.async_payment_succeeded", row)
        else:
            self._intents.fail_delayed(intent)
            self._events.emit("checkout.session.async_payment_failed", row)
        return row

    def portal(self, params: Params) -> Row:
        """POST /v1/billing_portal/sessions: a link only, there is no portal behind it."""
        customer = self._customers.living(required(params, "customer"))
        row = self._store.add(
            "billing_portal.session",
            "bps",
            configuration="bpc_stand-in",
            customer=customer["id"],
            customer_account=None,
            flow=None,
            locale=None,
            on_behalf_of=None,
            return_url=params.get("return_url"),
        )
        row["url"] = f"{self.public_url}/portal/{row['id']}"
        return row

    def retrieve_setup(self, _params: Params, ident: str) -> Row:
        return self._store.get("setup_intent", ident)

    def _close(self, row: Row) -> None:
        row.update(status="expired", url=None)
        self._events.emit("checkout.session.expired", row)

    def _intent(self, row: Row) -> Row:
        if row["payment_intent"] is not None:
            return self._store.get("payment_intent", row["payment_intent"])
        params = self._intent_params[row["id"]]
        intent = self._intents.add(
            row["amount_total"],
            row["currency"],
            customer=row["customer"],
            description=params.get("description"),
            metadata=metadata(params),
            receipt_email=None,
            setup_future_usage=params.get("setup_future_usage"),
        )
        row["payment_intent"] = intent["id"]
        return intent

    def _set_up(self, row: Row, method: Row) -> None:
        if row["customer"] is None:
            raise invalid("A setup session needs a customer.", param="customer")
        if self._methods.card(method["id"]).decline_code is not None:
            raise ApiError(402, type="card_error", code="card_declined", message="Declined.")
        self._methods.save(method, row["customer"])
        setup = self._store.add(
            "setup_intent",
            "seti",
            application=None,
            client_secret=None,
            customer=row["customer"],
            metadata=dict(row["metadata"]),
            payment_method=method["id"],
            payment_method_types=[method["type"]],
            status="succeeded",
            usage="off_session",
        )
        row["setup_intent"] = setup["id"]
        self._events.emit("setup_intent.succeeded", setup)


def _priced(line: dict[str, Any]) -> tuple[str, int]:
    """(currency, minor units) of a line with an inline price."""
    price = line.get("price_data")
    if not isinstance(price, dict):
        raise invalid("Only price_data is supported here.", param="line_items")
    if "name" not in (price.get("product_data") or {}):
        raise invalid("Missing required param: product_data[name].", param="line_items")
    return price["currency"].lower(), integer(price, "unit_amount") * int(line.get("quantity", "1"))
