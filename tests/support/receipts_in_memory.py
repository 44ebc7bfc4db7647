"""Receipts and open reservations of a ledger in memory, by the projector's own fold."""

from typing import Any

import orjson

from libs.runtime.errors import QueryFailed
from services.ledger.projections import requests
from services.ledger.rows import AMOUNTS, digits, json_value
from tests.support.deciding import Rules


def receipt_of(rules: Rules, account_id: str, question: dict[str, Any]) -> dict[str, Any]:
    row, res = None, question["res"]
    for position, event in enumerate(rules.events, start=1):
        body = orjson.loads(orjson.dumps({
            "type": event.type, "data": event.data, "account_id": event.account_id,
            "partition": 0, "position": position, "occurred_at": event.occurred_at,
        }))  # fmt: skip
        if event.account_id == account_id and requests.subject(body) == res[4:]:
            row = requests.apply(row, body)
    if row is None:
        raise QueryFailed("unknown_request", "no such request of this account")
    facts = row._asdict() | {
        "reservation_id": res,
        "account_id": account_id,
        "key_id": f"key_{row.key_id}",
        "opened_at": row.opened_at.isoformat(),
        "closed_at": row.closed_at and row.closed_at.isoformat(),
    }
    facts |= {name: digits(facts[name]) for name in AMOUNTS}
    return facts | {
        name: json_value(facts[name]) for name in ("usage", "attempts", "fee", "tags", "calls")
    }


def open_of(rules: Rules, account_id: str, question: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {
            "reservation_id": held.res,
            "account_id": held.account_id,
            "amount": str(held.amount),
            "expires_at": held.expires_at,
            "position": 1,
            "key_id": held.key_id,
            "operation": None,
            "opened_at": None,
        }
        for held in sorted(rules.reservations.values())
        if held.account_id == account_id and held.res > (question.get("after") or "")
    ]
    page = rows[: question["limit"]]
    more = page[-1]["reservation_id"] if len(page) < len(rows) else None
    return {"reservations": page, "next": more}
