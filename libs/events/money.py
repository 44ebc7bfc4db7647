"""Amounts: integers of nanos (10^-9 of a unit), decimal texts at the HTTP edges. No floats."""

import re
from typing import Final

NANOS: Final = 10**9
MAX_AMOUNT: Final = 2**62
"""The largest amount of one command."""
MAX_TOTAL: Final = 2**63 - 1
"""The largest balance: what a bigint column holds."""
CREDIT: Final = "CREDIT"

_DECIMAL: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,9}))?")

# As the card processor counts them. ISK and UGX have no minor unit, yet are sent with two digits.
_NO_MINOR_UNIT: Final = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "JPY",
        "KMF",
        "KRW",
        "MGA",
        "PYG",
        "RWF",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THREE_DIGITS: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def decimal_text(nanos: int, unit: str) -> str:
    """The amount as people read it: at least two places, no more than needed, no exponent.

    Whole credits have no places at all. A part of a credit (only a margin can be one) is
    written out rather than rounded.
    """
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS)
    if unit == CREDIT and not fraction:
        return f"{sign}{whole}"
    places = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


def parse_decimal(text: str, unit: str) -> int:
    """The nanos of a decimal text.

    Raises ValueError for more than nine places, signs other than one minus, exponents, blanks,
    parts of a credit and amounts beyond MAX_TOTAL.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"not a decimal amount: {text[:40]!r}")
    sign, whole, places = match.groups()
    nanos = int(whole) * NANOS + int((places or "").ljust(9, "0"))
    if nanos > MAX_TOTAL:
        raise ValueError(f"amount too large: {text}")
    if not is_integral(nanos, unit):
        raise ValueError(f"credits are whole: {text}")
    return -nanos if sign else nanos


def is_integral(nanos: int, unit: str) -> bool:
    """Whether the unit can hold the amount: credits have no parts, money has."""
    return unit != CREDIT or nanos % NANOS == 0


def minor_digits(currency: str) -> int:
    """How many decimal places the currency's smallest unit stands for."""
    if currency in _NO_MINOR_UNIT:
        return 0
    return 3 if currency in _THREE_DIGITS else 2


def minor_to_nanos(minor: int, currency: str) -> int:
    """Nanos of an amount in the currency's smallest unit (cents for USD)."""
    return int(minor * 10 ** (9 - minor_digits(currency)))


def minor_text(minor: int, currency: str) -> str:
    """The decimal text of an amount in the currency's smallest unit."""
    digits = minor_digits(currency)
    sign = "-" if minor < 0 else ""
    if not digits:
        return f"{sign}{abs(minor)}"
    whole, part = divmod(abs(minor), 10**digits)
    return f"{sign}{whole}.{part:0{digits}d}"
