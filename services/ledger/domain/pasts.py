"""What remains of a reservation after its end: who asks for it later finds it here."""

from collections.abc import Mapping

from services.ledger.domain.state import Data, Past

CLOSING: Mapping[str, str] = {
    "CreditsCharged": "settled",
    "CreditsReleased": "released",
    "ReservationExpired": "expired",
}
"""The events that end a reservation, and how it stands after them."""


def ended(past: Past, kind: str, data: Data, position: int | None) -> Past:
    """The past after an event that ends the reservation, or settles it late.

    `past.accrued` is the fee that stood until now.
    """
    how, reversed_, accrued = CLOSING[kind], data.get("fee_reversed"), past.accrued
    if how == "settled":
        accrued = data["fee"] or accrued
    elif reversed_:
        accrued = None
    charges = past.charges if how == "released" else (*past.charges, data)
    return Past(
        how, position, past.amount, reversed_, past.account_id, charges, accrued, past.refunded
    )
