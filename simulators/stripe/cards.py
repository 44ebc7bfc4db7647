"""The test payment methods and how each behaves when it is charged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """One test payment method, named like Stripe's own test tokens.

    `decline_code` None means that it pays. `authentication` asks the customer on every charge:
    on the hosted page the customer agrees, off session the charge is refused. `delayed` is a
    bank debit: accepted at once, settled later.
    """

    token: str
    label: str
    last4: str
    brand: str = "visa"
    error_code: str = "card_declined"
    decline_code: str | None = None
    advice_code: str | None = None
    authentication: bool = False
    delayed: bool = False

    @property
    def kind(self) -> str:
        return "sepa_debit" if self.delayed else "card"


_ALL = (
    Card("pm_card_visa", "Visa", "4242"),
    Card("pm_card_mastercard", "Mastercard", "4444", brand="mastercard"),
    Card("pm_card_visa_chargeDeclined", "Visa, declined", "0002", decline_code="generic_decline"),
    Card(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "Visa, insufficient funds",
        "9995",
        decline_code="insufficient_funds",
        advice_code="try_again_later",
    ),
    Card(
        "pm_card_visa_chargeDeclinedStolenCard",
        "Visa, stolen",
        "9979",
        decline_code="stolen_card",
        advice_code="do_not_try_again",
    ),
    Card(
        "pm_card_chargeDeclinedExpiredCard",
        "Visa, expired",
        "0069",
        error_code="expired_card",
        decline_code="expired_card",
        advice_code="do_not_try_again",
    ),
    Card("pm_card_authenticationRequired", "Visa, asks each time", "3184", authentication=True),
    Card("pm_sepa_debit", "SEPA debit, settles later", "3000", brand="sepa", delayed=True),
)

CARDS = {card.token: card for card in _ALL}
