"""The fee ledger as an account sees it: each accrual and each return, with the sum so far. Pure.

Fees are no part of any balance (docs/concepts/fees.md).
"""

from datetime import datetime
from typing import NamedTuple

from services.ledger.projections.entries import Data, digits_of

NAME = "fees"


class Fee(NamedTuple):
    """A line as the projector stores it; `minor` is negative when the fee is given back."""

    account_id: str
    position: int
    partition: int
    occurred_at: datetime
    res: str
    currency: str
    schedule: str
    minor: int


def lines(event: Data) -> list[Fee]:
    """The line of one event, none when it moves no fee."""
    data = event["data"]
    fee, sign = data.get("fee"), 1
    if not fee:
        fee, sign = data.get("fee_reversed"), -1
    if not fee:
        return []
    return [
        Fee(
            account_id=digits_of(event["account_id"]),
            position=event["position"],
            partition=event["partition"],
            occurred_at=datetime.fromisoformat(event["occurred_at"]),
            res=digits_of(data["res"]),
            currency=fee["currency"],
            schedule=fee["schedule"],
            minor=sign * fee["minor"],
        )
    ]
