"""Fields of the JSON APIs' requests and answers."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

from libs.events.money import MAX_AMOUNT, decimal_text, parse_decimal
from libs.events.times import from_text, to_text
from services.gateway.problems import Problem

AMOUNT: Final = r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?$"
AmountText = Annotated[str, StringConstraints(strict=True, pattern=AMOUNT)]
"""An amount of the account's unit as decimal text, such as "12.50"; whole for CREDIT."""


def _storable(moment: datetime) -> datetime:
    try:
        return from_text(to_text(moment))
    except (ValueError, OverflowError):
        raise ValueError("the year must lie between 2000 and 2999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_storable)]


class Body(BaseModel):
    """A request body: nothing in it that is not named."""

    model_config = ConfigDict(extra="forbid")


class Money(BaseModel):
    """An amount as decimal text of a currency."""

    amount: str
    currency: str


def nanos(text: str, unit: str, field: str, *, least: int = 1) -> int:
    """The nanos of an amount of at least `least` nanos; else a Problem that names the field."""
    try:
        amount = parse_decimal(text, unit)
    except ValueError as error:
        raise invalid(field, str(error)) from None
    if amount < least:
        raise invalid(field, f"the amount must be at least {decimal_text(least, unit)}")
    if amount > MAX_AMOUNT:
        raise invalid(field, "the amount is too large")
    return amount


def invalid(field: str, message: str, code: str = "invalid_request") -> Problem:
    """The problem of one wrong field of the body."""
    errors = [{"field": f"body.{field}", "message": message}]
    return Problem(422, code, f"{field}: {message}", errors=errors)
