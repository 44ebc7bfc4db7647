"""What an account used on each UTC day, by key, operation and model. Pure.

Everything counts on the day of its event, as on the statement: the charges and refunds of a day
are those of its lines. A request counts when it ends, once; a late charge comes on top.
"""

import json
from collections import Counter
from collections.abc import MutableMapping
from datetime import date
from typing import Any, NamedTuple, TypeAlias

from services.ledger.projections.entries import Data, digits_of
from services.ledger.projections.requests import Request

NAME = "usage_daily"

WITHOUT_MODEL = frozenset({"operation", "reservation"})
"""Surfaces whose requests name an operation; on every other one what is named is a model."""

Key = tuple[str, date, str, str, str]
"""Account, day, key (hex digits of their uuids), operation, model or nothing."""


class Usage(NamedTuple):
    """A row of `usage_daily`, in the order of its columns. Amounts in nanos.

    `usage` counts what was metered, by kind, as JSON; `cost_pico` in 10^-12 of the price book's
    currency.
    """

    account_id: str
    day: date
    key_id: str
    operation: str
    model: str
    partition: int
    requests: int = 0
    released: int = 0
    charged: int = 0
    margin: int = 0
    cost_pico: int = 0
    refunded: int = 0
    usage: str = "{}"


Rows: TypeAlias = "MutableMapping[Key, Usage]"

ENDS = frozenset({"CreditsCharged", "CreditsReleased", "ReservationExpired", "CreditsRefunded"})


def subject(event: Data) -> str | None:
    """The reservation whose use this event counts, None when it counts none."""
    return digits_of(event["data"]["res"]) if event["type"] in ENDS else None


def key_of(event: Data, request: Request) -> Key:
    """The row that an event counts in; `request` says what never changes of its reservation."""
    model = "" if request.surface in WITHOUT_MODEL else request.operation
    day = date.fromisoformat(event["occurred_at"][:10])
    return (digits_of(event["account_id"]), day, request.key_id, request.operation, model)


def apply(rows: Rows, key: Key, event: Data) -> None:
    """Count one event in its row."""
    row = rows.get(key) or Usage(*key, partition=event["partition"])
    data, kind = event["data"], event["type"]
    if kind == "CreditsRefunded":
        rows[key] = row._replace(refunded=row.refunded + int(data["amount"]))
        return
    late = kind == "CreditsCharged" and data["reserved_was"] == "0"
    rows[key] = row._replace(
        requests=row.requests + (0 if late else 1),
        released=row.released + (1 if _gives_back(kind, data) else 0),
        charged=row.charged + int(data.get("charge", 0)),
        margin=row.margin + int(data.get("margin", 0)),
        cost_pico=row.cost_pico + int(data.get("cost_pico") or 0),
        usage=_added(row.usage, data.get("usage")),
    )


def _gives_back(kind: str, data: Data) -> bool:
    """Whether a request ended without a charge because it was not served."""
    return kind == "CreditsReleased" or (kind == "ReservationExpired" and data["charge"] == "0")


def _added(before: str, more: Any) -> str:
    """Sums of counts, which may outgrow 64 bits: not for orjson."""
    if not more:
        return before
    return json.dumps(Counter(json.loads(before)) + Counter(more), sort_keys=True)
