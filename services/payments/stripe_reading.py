"""From the SDK's objects and errors to our own."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import stripe

from services.payments.errors import (
    CardRefused,
    ObjectMissing,
    StripeRefused,
    StripeUnavailable,
)
from services.payments.stripe_objects import Event, Failure, Intent, SavedCard, Session, Setup

_UNCLEAR = frozenset({"idempotency_key_in_use", "lock_timeout"})
"""Refusals of this call while another one may be at the same work."""


@contextlib.contextmanager
def refusals(*, unless: str | None = None) -> Iterator[None]:
    """Turn the SDK's errors into ours; a refusal with the code `unless` is passed over.

    Everything that is not a clear refusal is StripeUnavailable: an idempotency error or a wrong
    API key say nothing about what an earlier try has done.
    """
    try:
        yield
    except stripe.CardError as error:
        raise _card_refused(error) from error
    except stripe.InvalidRequestError as error:
        code = error.code or "invalid_request"
        if code == unless:
            return
        if code in _UNCLEAR:
            raise StripeUnavailable(f"{code}: {error}") from error
        kind = ObjectMissing if code == "resource_missing" else StripeRefused
        raise kind(code, str(error)) from error
    except stripe.StripeError as error:
        raise StripeUnavailable(f"{type(error).__name__}: {error}") from error


def _card_refused(error: stripe.CardError) -> CardRefused:
    body = error.error
    made = getattr(body, "payment_intent", None)
    return CardRefused(
        failure(body) or Failure("card_error"), None if made is None else intent(made)
    )


def failure(body: Any) -> Failure | None:
    """The codes of an error object or a last_payment_error."""
    if body is None:
        return None
    return Failure(
        getattr(body, "code", None) or "unknown",
        getattr(body, "decline_code", None),
        getattr(body, "advice_code", None),
    )


def intent(row: stripe.PaymentIntent) -> Intent:
    return Intent(
        id=row.id,
        status=row.status,
        amount=row.amount,
        amount_received=row.amount_received,
        currency=row.currency.upper(),
        customer=_id(row.customer),
        payment_method=_id(row.payment_method),
        livemode=row.livemode,
        metadata=_texts(row.metadata),
        reusable=getattr(row, "setup_future_usage", None) == "off_session",
        failure=failure(row.last_payment_error),
    )


def session(row: stripe.checkout.Session) -> Session:
    return Session(
        id=row.id,
        mode=row.mode,
        status=row.status,
        payment_status=row.payment_status,
        amount_subtotal=row.amount_subtotal,
        amount_total=row.amount_total,
        currency=row.currency.upper() if row.currency else None,
        customer=_id(row.customer),
        client_reference_id=row.client_reference_id,
        livemode=row.livemode,
        intent_id=_id(row.payment_intent),
        setup_intent_id=_id(row.setup_intent),
        url=row.url,
    )


def setup(row: stripe.SetupIntent) -> Setup:
    return Setup(row.id, row.status, _id(row.customer), _id(row.payment_method))


def saved_card(row: stripe.PaymentMethod) -> SavedCard:
    card = getattr(row, "card", None)
    return SavedCard(
        id=row.id,
        kind=row.type,
        customer=_id(row.customer),
        brand=getattr(card, "brand", None),
        last4=getattr(card, "last4", None),
        exp_month=getattr(card, "exp_month", None),
        exp_year=getattr(card, "exp_year", None),
    )


def event(row: stripe.Event) -> Event:
    """An event out of a list; its bytes are our own rendering of what the SDK read."""
    return _event(row.to_dict(), None)


def delivered(raw: bytes) -> Event:
    """An event out of a verified delivery, bytes kept as they came.

    Raises ValueError for JSON that is no event.
    """
    try:
        body = json.loads(raw)
    except RecursionError as error:
        raise ValueError("not an event: too deep") from error
    if not isinstance(body, dict) or body.get("object") != "event":
        raise ValueError("not an event")
    return _event(body, raw)


def _event(body: Mapping[str, Any], raw: bytes | None) -> Event:
    try:
        return Event(
            id=_storable(body["id"]),
            type=_storable(body["type"]),
            object_id=_storable(body["data"]["object"].get("id") or ""),
            created=datetime.fromtimestamp(int(body["created"]), UTC),
            livemode=bool(body["livemode"]),
            api_version=_storable(body.get("api_version") or "") or None,
            payload=raw or json.dumps(body, default=str).encode(),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise ValueError(f"not an event: {error!r}") from error


def _storable(text: Any) -> str:
    """A text that a table can hold: no NUL, no half of a surrogate pair."""
    if not isinstance(text, str) or not text.isprintable():
        raise TypeError("an id, a type or a version is no text")
    return text


def _id(value: Any) -> str | None:
    """The id of a reference, expanded or not."""
    if value is None or isinstance(value, str):
        return value
    return str(value.id)


def _texts(values: Any) -> dict[str, str]:
    return dict(values.to_dict()) if values is not None else {}
