"""What every question and every answer of the ledger's read side is made of."""

from typing import Annotated, Final

from pydantic import Field

from libs.events.fields import Message

MAX_PAGE: Final = 500
Limit = Annotated[int, Field(strict=True, ge=1, le=MAX_PAGE)]


class Question(Message):
    """What is asked; fields with a default may be left out."""


class Facts(Message):
    """What is answered."""
