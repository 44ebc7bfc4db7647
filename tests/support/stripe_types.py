"""What the pinned SDK says about objects, parameters and event names: the drift guard's measure."""

import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import stripe
import typing_extensions
from stripe import params
from stripe.params import billing_portal, checkout

OBJECTS: dict[str, Any] = {
    "customer": stripe.Customer,
    "payment_method": stripe.PaymentMethod,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "event": stripe.Event,
    "setup_intent": stripe.SetupIntent,
    "checkout.session": stripe.checkout.Session,
    "billing_portal.session": stripe.billing_portal.Session,
}
EVENT_TYPES = frozenset(typing.get_args(stripe.Event.__annotations__["type"]))
PARAMS: dict[tuple[str, str], Any] = {
    ("POST", "/v1/customers"): params.CustomerCreateParams,
    ("GET", "/v1/events"): params.EventListParams,
    ("GET", "/v1/payment_methods/{id}"): params.PaymentMethodRetrieveParams,
    ("POST", "/v1/payment_methods/{id}/detach"): params.PaymentMethodDetachParams,
    ("GET", "/v1/setup_intents/{id}"): params.SetupIntentRetrieveParams,
    ("POST", "/v1/payment_intents"): params.PaymentIntentCreateParams,
    ("GET", "/v1/payment_intents"): params.PaymentIntentListParams,
    ("GET", "/v1/payment_intents/{id}"): params.PaymentIntentRetrieveParams,
    ("POST", "/v1/payment_intents/{id}/cancel"): params.PaymentIntentCancelParams,
    ("POST", "/v1/checkout/sessions"): checkout.SessionCreateParams,
    ("GET", "/v1/checkout/sessions/{id}"): checkout.SessionRetrieveParams,
    ("POST", "/v1/billing_portal/sessions"): billing_portal.SessionCreateParams,
}


def object_problems(row: dict[str, Any]) -> list[str]:
    """What the SDK's class for this object does not know, and what it must have but has not."""
    known = OBJECTS[row["object"]]
    wanted = {
        name: kind
        for base in known.__mro__
        for name, kind in getattr(base, "__annotations__", {}).items()
    }
    absent = [
        f"{row['object']} lacks {name}"
        for name, kind in wanted.items()
        if name.islower() and not name.startswith("_") and name not in row and not _optional(kind)
    ]
    return absent + list(_unknown(row, known, row["object"]))


def param_problems(method: str, path: str, sent: dict[str, Any]) -> list[str]:
    """Parameters of this call that the SDK's typed parameters do not have."""
    shape = "/".join(_generic(part) for part in path.split("/"))
    return list(_unknown_params(sent, PARAMS[(method, shape)], f"{method} {shape}"))


def _generic(part: str) -> str:
    prefixes = ("cus_", "pm_", "pi_", "cs_test_", "seti_", "evt_")
    return "{id}" if part.startswith(prefixes) else part


def _optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def _unknown(row: dict[str, Any], known: Any, where: str) -> Iterator[str]:
    names = {name for base in known.__mro__ for name in getattr(base, "__annotations__", {})}
    inner = getattr(known, "_inner_class_types", {})
    for name, value in row.items():
        if name not in names:
            yield f"{where}.{name}"
        elif isinstance(value, dict) and name in inner:
            yield from _unknown(value, inner[name], f"{where}.{name}")


def _unknown_params(sent: Any, kind: Any, where: str) -> Iterator[str]:
    shapes = [shape for shape in _typed(kind) if typing_extensions.is_typeddict(shape)]
    if isinstance(sent, list):
        for item in sent:
            yield from _unknown_params(item, kind, where)
        return
    if not isinstance(sent, dict) or not shapes:
        return
    hints: dict[str, Any] = {}
    for shape in shapes:
        scope = vars(sys.modules[shape.__module__])
        hints |= typing.get_type_hints(shape, scope, {"StripeContext": object, "Mapping": Mapping})
    for name, value in sent.items():
        if name not in hints:
            yield f"{where}[{name}]"
        else:
            yield from _unknown_params(value, hints[name], f"{where}[{name}]")


def _typed(kind: Any) -> Iterator[Any]:
    yield kind
    for part in typing.get_args(kind):
        yield from _typed(part)
