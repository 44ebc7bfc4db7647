"""What a refused charge means for the next one (RCH-4)."""

from typing import Literal

from services.payments.stripe_objects import Failure

FailureClass = Literal["soft", "hard", "authentication", "abandoned"]

_AUTHENTICATION = frozenset({"authentication_required", "authentication_not_handled"})
_HARD = frozenset(
    {
        "account_closed",
        "card_not_supported",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "no_account",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)


def failure_class(failure: Failure) -> FailureClass:
    """Soft: later may work. Hard: this card will not. Authentication: the customer must act."""
    codes = {failure.code, failure.decline_code}
    if codes & _AUTHENTICATION:
        return "authentication"
    if failure.advice_code == "do_not_try_again" or codes & _HARD:
        return "hard"
    return "soft"


def reason_code(failure: Failure) -> str:
    """The most telling of its codes, in the form that a command's code has."""
    text = (failure.decline_code or failure.code or "unknown").lower()
    kept = "".join(char if char.isascii() and char.isalnum() else "_" for char in text)
    return kept[:64] or "unknown"
