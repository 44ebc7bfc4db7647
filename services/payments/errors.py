"""The errors of payments.

PaymentsError
├── StripeUnavailable    no usable answer: whatever was asked may have happened or not
├── StripeRefused        refused before anything was executed
│   └── ObjectMissing    Stripe does not know the object
├── CardRefused          the charge was refused; the PaymentIntent says why
└── RequestRefused       a question to payments.requests that cannot be served
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.payments.stripe_objects import Failure, Intent


class PaymentsError(Exception):
    """Base of what this service raises on purpose."""


class StripeUnavailable(PaymentsError):
    """Stripe did not give a usable answer: the outcome is unknown and must be looked up."""


class StripeRefused(PaymentsError):
    """Stripe refused the call and executed nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class ObjectMissing(StripeRefused):
    """Stripe does not know this object."""


class CardRefused(PaymentsError):
    """The charge was refused. `intent` is the PaymentIntent as Stripe returned it, if it did."""

    def __init__(self, failure: "Failure", intent: "Intent | None") -> None:
        super().__init__(failure.code)
        self.failure = failure
        self.intent = intent


class RequestRefused(PaymentsError):
    """A request that cannot be served; `code` and `message` go back to the asker."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
