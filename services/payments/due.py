"""What a payment must look like to be ours, and what it buys: taken from our own row only."""

from dataclasses import dataclass
from typing import Literal

from services.payments.stripe_objects import Intent, Session


@dataclass(frozen=True, slots=True)
class Due:
    """What somebody owes for credits, by our own row.

    `price` is minor units of `currency`, `credits` nanos of the account's unit. `row_id` is the
    order's id for a purchase and the attempt's id for a recharge.
    """

    source: Literal["purchase", "recharge"]
    row_id: str
    account_id: str
    customer: str | None
    currency: str
    price: int
    credits: int
    pack: str | None
    shelf_months: int | None
    catalogue: str | None
    livemode: bool

    @property
    def attempt_id(self) -> str | None:
        """The recharge attempt that this payment closes."""
        return self.row_id if self.source == "recharge" else None


def intent_mismatch(due: Due, intent: Intent) -> str | None:
    """The first way in which a succeeded PaymentIntent is not what is due; None when it is."""
    return _first_difference(
        ("currency", intent.currency, due.currency),
        ("amount", intent.amount, due.price),
        ("amount_received", intent.amount_received, due.price),
        ("customer", intent.customer, due.customer),
        ("livemode", intent.livemode, due.livemode),
    )


def session_mismatch(due: Due, session: Session) -> str | None:
    """The first way in which a paid Checkout Session is not what is due; None when it is."""
    return _first_difference(
        ("currency", session.currency, due.currency),
        ("amount_subtotal", session.amount_subtotal, due.price),
        ("amount_total", session.amount_total, due.price),
        ("client_reference_id", session.client_reference_id, due.row_id),
        ("customer", session.customer, due.customer),
        ("livemode", session.livemode, due.livemode),
    )


def _first_difference(*pairs: tuple[str, object, object]) -> str | None:
    for name, is_now, should_be in pairs:
        if is_now != should_be:
            return f"{name} is {is_now}, ordered was {should_be}"
    return None
