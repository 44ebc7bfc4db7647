"""What providers charge, as text: exact, whatever the number of places."""

from typing import Final

from services.gateway.fields import Money

_PICO: Final = 10**12


def cost_of(pico: str | None, currency: str) -> Money | None:
    """The exact cost: a price per million tokens has up to twelve places."""
    if pico is None:
        return None
    whole, fraction = divmod(int(pico), _PICO)
    places = f"{fraction:012d}".rstrip("0").ljust(2, "0")
    return Money(amount=f"{whole}.{places}", currency=currency)
