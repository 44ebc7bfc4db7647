"""The parts of Stripe's objects that decide something here. Amounts are minor units."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a charge was refused, in Stripe's codes."""

    code: str
    decline_code: str | None = None
    advice_code: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent. `reusable`: its payment method may be charged off session later."""

    id: str
    status: str
    amount: int
    amount_received: int
    currency: str
    customer: str | None
    payment_method: str | None
    livemode: bool
    metadata: Mapping[str, str]
    reusable: bool
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Session:
    """A Checkout Session."""

    id: str
    mode: str
    status: str | None
    payment_status: str
    amount_subtotal: int | None
    amount_total: int | None
    currency: str | None
    customer: str | None
    client_reference_id: str | None
    livemode: bool
    intent_id: str | None
    setup_intent_id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Setup:
    """A SetupIntent: a payment method saved without a charge."""

    id: str
    status: str
    customer: str | None
    payment_method: str | None


@dataclass(frozen=True, slots=True)
class SavedCard:
    """What a saved payment method may be shown as. Only ever read from Stripe, never stored."""

    id: str
    kind: str
    customer: str | None
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to which object; `payload` is the whole event as JSON."""

    id: str
    type: str
    object_id: str
    created: datetime
    livemode: bool
    api_version: str | None
    payload: bytes
