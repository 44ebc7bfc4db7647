"""Which method and path of the API does what."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from simulators.stripe.errors import ApiError
from simulators.stripe.forms import Params

if TYPE_CHECKING:
    from simulators.stripe.app import FakeStripe

Handler = Callable[..., dict[str, Any]]
_ID = r"([A-Za-z0-9_]+)"


class Routes:
    """The API's calls, each a function of the parameters and the ids in the path."""

    def __init__(self, fake: "FakeStripe") -> None:
        self._table: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile("/v1/" + path.replace("{id}", _ID)), handler)
            for method, path, handler in (*_customers(fake), *_payments(fake), *_checkout(fake))
        ]

    def call(self, method: str, path: str, params: Params) -> dict[str, Any]:
        """Run the call.

        Raises:
            ApiError: the API's own error; 404 for an unknown path.
        """
        for wanted, pattern, handler in self._table:
            found = pattern.fullmatch(path)
            if found is not None and wanted == method:
                return handler(params, *found.groups())
        raise ApiError(
            404,
            type="invalid_request_error",
            message=f"Unrecognized request URL ({method}: {path}).",
        )


def _customers(fake: "FakeStripe") -> Iterator[tuple[str, str, Handler]]:
    customers, methods = fake.customers, fake.methods
    yield "POST", "customers", customers.create
    yield "GET", "customers", customers.page
    yield "GET", "customers/{id}", customers.retrieve
    yield "POST", "customers/{id}", customers.update
    yield "DELETE", "customers/{id}", customers.delete
    yield "GET", "customers/{id}/payment_methods", methods.page_of_customer
    yield "POST", "payment_methods", methods.refuse_numbers
    yield "GET", "payment_methods", methods.page
    yield "GET", "payment_methods/{id}", methods.retrieve
    yield "POST", "payment_methods/{id}/attach", methods.attach
    yield "POST", "payment_methods/{id}/detach", methods.detach


def _payments(fake: "FakeStripe") -> Iterator[tuple[str, str, Handler]]:
    intents = fake.intents
    yield "POST", "payment_intents", intents.create
    yield "GET", "payment_intents", intents.page
    yield "GET", "payment_intents/{id}", intents.retrieve
    yield "POST", "payment_intents/{id}/confirm", intents.confirm
    yield "POST", "payment_intents/{id}/cancel", intents.cancel
    yield "GET", "charges", intents.page_of_charges
    yield "GET", "charges/{id}", intents.retrieve_charge
    yield "GET", "events", fake.events.page
    yield "GET", "events/{id}", lambda _params, ident: fake.store.get("event", ident)


def _checkout(fake: "FakeStripe") -> Iterator[tuple[str, str, Handler]]:
    sessions = fake.sessions
    yield "POST", "checkout/sessions", sessions.create
    yield "GET", "checkout/sessions", sessions.page
    yield "GET", "checkout/sessions/{id}", sessions.retrieve
    yield "POST", "checkout/sessions/{id}/expire", sessions.expire
    yield "GET", "setup_intents/{id}", sessions.retrieve_setup
    yield "POST", "billing_portal/sessions", sessions.portal
