"""What an owner agrees to before credits are bought without them."""

from typing import Final

CONSENT_TEXT: Final = (
    "I authorise charges to my saved payment method, without being asked again, whenever my "
    "balance falls below the threshold I set, for the amount I set, until I turn auto-recharge "
    "off."
)
"""A text that can be shown; any other may be agreed to. Its SHA-256 and the time are stored."""
