"""Customers and the payment methods that are saved on them."""

import hashlib

from simulators.stripe.cards import CARDS, Card
from simulators.stripe.errors import ApiError, invalid, missing
from simulators.stripe.events import EventLog
from simulators.stripe.forms import Params, metadata, required
from simulators.stripe.store import Row, Store

_FIELDS = ("email", "name", "description", "phone")


class Customers:
    def __init__(self, store: Store, events: EventLog) -> None:
        self._store = store
        self._events = events

    def create(self, params: Params) -> Row:
        row = self._store.add(
            "customer",
            "cus",
            **{name: params.get(name) for name in _FIELDS},
            address=None,
            balance=0,
            currency=None,
            default_source=None,
            delinquent=False,
            invoice_settings={"default_payment_method": None},
            metadata=metadata(params),
            tax_exempt="none",
        )
        self._events.emit("customer.created", row)
        return row

    def retrieve(self, _params: Params, ident: str) -> Row:
        return self._store.get("customer", ident)

    def update(self, params: Params, ident: str) -> Row:
        row = self.living(ident)
        row.update({name: params[name] for name in _FIELDS if name in params})
        row["metadata"] = metadata(params, row["metadata"])
        self._events.emit("customer.updated", row)
        return row

    def delete(self, _params: Params, ident: str) -> Row:
        row = self.living(ident)
        self._events.emit("customer.deleted", row)
        gone = {"id": ident, "object": "customer", "deleted": True}
        row.clear()
        row.update(gone)
        return row

    def page(self, params: Params) -> Row:
        return self._store.page("customer", params, "/v1/customers", ("email",))

    def living(self, ident: str) -> Row:
        """The customer, or 404 when it was deleted or never existed."""
        row = self._store.get("customer", ident)
        if row.get("deleted"):
            raise missing("customer", ident)
        return row


class PaymentMethods:
    """Saved payment methods. How one behaves is kept beside it, not in the object."""

    def __init__(self, store: Store, events: EventLog, customers: Customers) -> None:
        self._store = store
        self._events = events
        self._customers = customers
        self._behaviour: dict[str, Card] = {}

    def make(self, token: str) -> Row:
        """A fresh payment method from one of the test tokens."""
        card = CARDS.get(token)
        if card is None:
            raise missing("payment_method", token)
        row = self._store.add(
            "payment_method",
            "pm",
            type=card.kind,
            billing_details={"address": None, "email": None, "name": None, "phone": None},
            customer=None,
            metadata={},
            **{card.kind: _details(card)},
        )
        self._behaviour[row["id"]] = card
        return row

    def card(self, ident: str) -> Card:
        return self._behaviour[ident]

    def behave_like(self, ident: str, token: str) -> None:
        """From now on charges of this saved payment method end like those of the test token."""
        self._store.get("payment_method", ident)
        self._behaviour[ident] = CARDS[token]

    def resolve(self, ident: str) -> Row:
        """The payment method of this id; a test token makes a new one."""
        return self.make(ident) if ident in CARDS else self._store.get("payment_method", ident)

    def refuse_numbers(self, _params: Params) -> Row:
        """Card numbers never reach this API: they belong on the hosted page."""
        raise ApiError(
            402,
            type="card_error",
            code="card_declined",
            message="Sending credit card numbers directly to the API is unsafe. "
            "Use the hosted page or a test token such as pm_card_visa.",
        )

    def attach(self, params: Params, ident: str) -> Row:
        customer = self._customers.living(required(params, "customer"))
        row = self.resolve(ident)
        self.save(row, customer["id"])
        return row

    def save(self, row: Row, customer: str) -> None:
        """Put the payment method on the customer."""
        if row["customer"] not in (None, customer):
            raise invalid("The payment method you provided has already been attached.")
        if row["customer"] is None:
            row["customer"] = customer
            self._events.emit("payment_method.attached", row)

    def detach(self, _params: Params, ident: str) -> Row:
        row = self._store.get("payment_method", ident)
        if row["customer"] is None:
            raise invalid("The payment method you provided is not attached to a customer.")
        before, row["customer"] = row["customer"], None
        self._events.emit("payment_method.detached", row, previous={"customer": before})
        return row

    def retrieve(self, _params: Params, ident: str) -> Row:
        return self._store.get("payment_method", ident)

    def page(self, params: Params) -> Row:
        return self._store.page(
            "payment_method", params, "/v1/payment_methods", ("customer", "type")
        )

    def page_of_customer(self, params: Params, ident: str) -> Row:
        self._customers.living(ident)
        url = f"/v1/customers/{ident}/payment_methods"
        wanted = {**params, "customer": ident}
        return self._store.page("payment_method", wanted, url, ("customer", "type"))


def _details(card: Card) -> Row:
    print_of = hashlib.sha256(card.token.encode()).hexdigest()[:16]
    if card.delayed:
        return {"bank_code": "37040044", "country": "DE", "fingerprint": print_of, "last4": "3000"}
    return {
        "brand": card.brand,
        "checks": None,
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": print_of,
        "funding": "credit",
        "last4": card.last4,
    }
