"""PaymentIntents and the charges they make."""

import copy
from typing import Any

from simulators.stripe.cards import Card
from simulators.stripe.customers import Customers, PaymentMethods
from simulators.stripe.errors import ApiError, invalid
from simulators.stripe.events import EventLog
from simulators.stripe.forms import Params, flag, integer, metadata, required
from simulators.stripe.store import Row, Store

SMALLEST = {"usd": 50, "eur": 50, "gbp": 30}
_CANCELABLE = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"}
)


class PaymentIntents:
    def __init__(
        self, store: Store, events: EventLog, customers: Customers, methods: PaymentMethods
    ) -> None:
        self._store = store
        self._events = events
        self._customers = customers
        self._methods = methods

    def create(self, params: Params) -> Row:
        """POST /v1/payment_intents, confirmed at once when `confirm` is true."""
        amount, currency = integer(params, "amount"), required(params, "currency").lower()
        if amount < SMALLEST.get(currency, 1):
            raise invalid(
                "Amount must be at least the smallest chargeable amount.",
                param="amount",
                code="amount_too_small",
            )
        if "customer" in params:
            self._customers.living(params["customer"])
        if flag(params, "off_session") and not flag(params, "confirm"):
            raise invalid("off_session needs confirm=true.", param="off_session")
        row = self.add(
            amount,
            currency,
            customer=params.get("customer"),
            description=params.get("description"),
            metadata=metadata(params),
            receipt_email=params.get("receipt_email"),
            setup_future_usage=params.get("setup_future_usage"),
        )
        if flag(params, "confirm"):
            self.confirm(params, row["id"])
        return row

    def add(self, amount: int, currency: str, **fields: Any) -> Row:
        """A PaymentIntent that waits for its payment method. `amount` in minor units."""
        row = self._store.add(
            "payment_intent",
            "pi",
            amount=amount,
            amount_capturable=0,
            amount_received=0,
            application=None,
            automatic_payment_methods={"allow_redirects": "always", "enabled": True},
            canceled_at=None,
            cancellation_reason=None,
            capture_method="automatic_async",
            confirmation_method="automatic",
            currency=currency,
            last_payment_error=None,
            latest_charge=None,
            next_action=None,
            payment_method=None,
            payment_method_types=["card", "sepa_debit"],
            processing=None,
            status="requires_payment_method",
            **fields,
        )
        row["client_secret"] = f"{row['id']}_secret_stand-in"
        self._events.emit("payment_intent.created", row)
        return row

    def confirm(self, params: Params, ident: str) -> Row:
        row = self._store.get("payment_intent", ident)
        if row["status"] not in ("requires_payment_method", "requires_confirmation"):
            raise self._unexpected(row, "confirm")
        method = self._methods.resolve(params.get("payment_method") or row["payment_method"] or "")
        if row["customer"] and method["customer"] not in (None, row["customer"]):
            raise invalid("The payment method does not belong to the customer.")
        if flag(params, "off_session") and method["customer"] is None:
            raise invalid("The payment method must be attached to the customer.")
        self.charge(row, method, on_session=not flag(params, "off_session"))
        return row

    def charge(self, row: Row, method: Row, *, on_session: bool) -> None:
        """Try the payment method.

        Raises:
            ApiError: 402 with the PaymentIntent inside, when the charge is refused.
        """
        card = self._methods.card(method["id"])
        if card.decline_code is not None or (card.authentication and not on_session):
            raise self._declined(row, method, card)
        if row["setup_future_usage"] and row["customer"]:
            self._methods.save(method, row["customer"])
        row["payment_method"] = method["id"]
        row["last_payment_error"] = None
        if card.delayed:
            row["status"] = "processing"
            self._events.emit("payment_intent.processing", row)
            return
        self.succeed(row)

    def succeed(self, row: Row) -> None:
        """The money has arrived."""
        charge = self._charge(row, row["payment_method"], status="succeeded")
        row.update(status="succeeded", amount_received=row["amount"], latest_charge=charge["id"])
        self._events.emit("charge.succeeded", charge)
        self._events.emit("payment_intent.succeeded", row)

    def fail_delayed(self, row: Row) -> None:
        """The bank refused a debit that was accepted before."""
        error = {
            "type": "invalid_request_error",
            "code": "payment_intent_payment_attempt_failed",
            "message": "The debit was refused.",
        }
        row.update(status="requires_payment_method", last_payment_error=error, payment_method=None)
        self._events.emit("payment_intent.payment_failed", row)

    def cancel(self, params: Params, ident: str) -> Row:
        row = self._store.get("payment_intent", ident)
        if row["status"] not in _CANCELABLE:
            raise self._unexpected(row, "cancel")
        row.update(
            status="canceled",
            canceled_at=self._store.created(),
            cancellation_reason=params.get("cancellation_reason"),
        )
        self._events.emit("payment_intent.canceled", row)
        return row

    def retrieve(self, _params: Params, ident: str) -> Row:
        return self._store.get("payment_intent", ident)

    def page(self, params: Params) -> Row:
        return self._store.page("payment_intent", params, "/v1/payment_intents", ("customer",))

    def retrieve_charge(self, _params: Params, ident: str) -> Row:
        return self._store.get("charge", ident)

    def page_of_charges(self, params: Params) -> Row:
        return self._store.page("charge", params, "/v1/charges", ("customer", "payment_intent"))

    def _declined(self, row: Row, method: Row, card: Card) -> ApiError:
        code = "authentication_required" if card.authentication else card.error_code
        error: Row = {
            "type": "card_error",
            "code": code,
            "decline_code": card.decline_code or "authentication_required",
            "message": "Your card was declined.",
            "doc_url": f"https://stripe.com/docs/error-codes/{code}",
            "payment_method": copy.deepcopy(method),
        }
        if card.advice_code is not None:
            error["advice_code"] = card.advice_code
        charge = self._charge(row, method["id"], status="failed", failure_code=code)
        error["charge"] = charge["id"]
        row.update(
            status="requires_payment_method",
            last_payment_error=error,
            latest_charge=charge["id"],
            payment_method=None,
        )
        self._events.emit("charge.failed", charge)
        self._events.emit("payment_intent.payment_failed", row)
        return ApiError(402, **error, payment_intent=copy.deepcopy(row))

    def _charge(
        self, row: Row, method: str, *, status: str, failure_code: str | None = None
    ) -> Row:
        paid = status == "succeeded"
        return self._store.add(
            "charge",
            "ch",
            amount=row["amount"],
            amount_captured=row["amount"] if paid else 0,
            amount_refunded=0,
            billing_details={"address": None, "email": None, "name": None, "phone": None},
            captured=paid,
            currency=row["currency"],
            customer=row["customer"],
            disputed=False,
            failure_code=failure_code,
            metadata=dict(row["metadata"]),
            paid=paid,
            payment_intent=row["id"],
            payment_method=method,
            refunded=False,
            status=status,
        )

    @staticmethod
    def _unexpected(row: Row, verb: str) -> ApiError:
        return ApiError(
            400,
            type="invalid_request_error",
            code="payment_intent_unexpected_state",
            message=f"You cannot {verb} this PaymentIntent because it has a status of "
            f"{row['status']}.",
            payment_intent=copy.deepcopy(row),
        )
