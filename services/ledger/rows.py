"""Rows as the data of answers: ids and times as text, amounts as digit strings, pages that fit."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.codec import load_event
from libs.events.ids import id_of
from libs.events.times import to_text
from services.ledger.domain.spending import rolled
from services.ledger.domain.state import Counter

PAGE_BYTES = 160 * 1024
"""An answer is one NATS message of at most 256 KB: a page ends before it would not fit."""

Row = asyncpg.Record


def fitting(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the first items as fit one message, at least one."""
    page: list[dict[str, Any]] = []
    size = 0
    for item in items:
        size += len(orjson.dumps(item)) + 1
        if page and size > PAGE_BYTES:
            break
        page.append(item)
    return page


def id_text(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else id_of(prefix, value)


def time_text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)


def digits(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def json_value(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def entry(row: Row) -> dict[str, Any]:
    return {
        **row,
        "occurred_at": time_text(row["occurred_at"]),
        "amount": str(row["amount"]),
        "available": str(row["available"]),
        "reserved": str(row["reserved"]),
        "res": id_text("req", row["res"]),
        "key_id": id_text("key", row["key_id"]),
    }


AMOUNTS = (
    "reserved", "charge", "margin", "cost_pico", "released", "refunded", "loss", "available_after",
)  # fmt: skip


def receipt(row: Row) -> dict[str, Any]:
    data = {
        **row,
        "reservation_id": id_text("req", row["reservation_id"]),
        "account_id": id_text("acct", row["account_id"]),
        "key_id": id_text("key", row["key_id"]),
        "opened_at": time_text(row["opened_at"]),
        "closed_at": time_text(row["closed_at"]),
        **{name: digits(row[name]) for name in AMOUNTS},
        **{name: json_value(row[name]) for name in ("usage", "attempts", "fee", "tags", "calls")},
    }
    del data["partition"]
    return data


def recharge_policy(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "enabled": state["enabled"],
        "threshold": str(state["threshold"]),
        "basis": state["basis"],
        "amount": str(state["amount"]),
        "pack": state["pack"],
        "caps": {name: digits(state[f"cap_{name}"]) for name in ("charge", "day", "month")},
    }


def catalogue(row: Row, now: datetime) -> dict[str, Any]:
    over = row["withdrawn_from"]
    return {
        **row,
        "effective_from": time_text(row["effective_from"]),
        "withdrawn_from": time_text(over),
        "in_force": row["effective_from"] <= now and (over is None or now < over),
    }


def spent(state: Mapping[str, Any], counter: str, now: datetime) -> dict[str, str]:
    """What a counter of an account's state says now: in all, in this UTC day and month."""
    kept = state.get("counters", {}).get(counter)
    count = rolled(Counter(*kept) if kept else None, to_text(now))
    return {
        "spent_total": str(count.total),
        "spent_day": str(count.day_sum),
        "spent_month": str(count.month_sum),
    }


CAPS = ("cap_total", "cap_day", "cap_month")
NOTHING_COUNTED: dict[str, str | None] = dict.fromkeys(("spent_total", "spent_day", "spent_month"))


def key(row: Row, state: Mapping[str, Any], now: datetime, name: str | None) -> dict[str, Any]:
    lineage = id_of("key", row["lineage"])
    capped = any(row[cap] is not None for cap in CAPS)
    created = load_event(row["body"])["occurred_at"] if row["body"] is not None else None
    data = {
        **row,
        "key_id": id_text("key", row["key_id"]),
        "name": name,
        "lineage": lineage,
        "rotates": id_text("key", row["rotates"]),
        "expires_at": time_text(row["expires_at"]),
        "created_at": created,
        **{cap: digits(row[cap]) for cap in CAPS},
        **(spent(state, lineage, now) if capped else NOTHING_COUNTED),
    }
    del data["body"]
    return data


def account(row: Row, external_id: str | None) -> dict[str, Any]:
    return {
        **row,
        "account_id": id_text("acct", row["account_id"]),
        "external_id": external_id,
        "available": str(row["available"]),
        "reserved": str(row["reserved"]),
        "total": str(row["available"] + row["reserved"]),
    }


def reservation(row: Row) -> dict[str, Any]:
    return {
        **row,
        "reservation_id": id_text("req", row["reservation_id"]),
        "account_id": id_text("acct", row["account_id"]),
        "key_id": id_text("key", row["key_id"]),
        "amount": str(row["amount"]),
        "expires_at": time_text(row["expires_at"]),
        "opened_at": time_text(row["opened_at"]),
    }


GRANTED = (
    "granted", "available", "reserved", "charged", "refunded", "expired", "clawed", "moved",
    "shortfall",
)  # fmt: skip


def grant(row: Row) -> dict[str, Any]:
    return {
        **row,
        "grant_id": id_text("grant", row["grant_id"]),
        "granted_at": time_text(row["granted_at"]),
        "expires_at": time_text(row["expires_at"]),
        "paid": json_value(row["paid"]),
        # A numeric writes round numbers with an exponent.
        **{name: str(int(row[name])) for name in GRANTED},
    }


USED = ("charged", "margin", "cost_pico", "refunded")


def use(row: Row) -> dict[str, Any]:
    day, key_id = row["day"], row["key_id"]
    return {
        **row,
        "day": None if day.year == 1 else day.isoformat(),
        "model": row["model"] or None,
        "key_id": id_text("key", key_id) if key_id.int else None,
        "operation": row["operation"] or None,
        **{name: str(int(row[name])) for name in USED},
        # Counts beyond 64 bits are not for orjson, and nobody's.
        "usage": json.loads(row["usage"] or "{}"),
    }


def fee(row: Row) -> dict[str, Any]:
    return {
        **row,
        "occurred_at": time_text(row["occurred_at"]),
        "res": id_text("req", row["res"]),
        "key_id": id_text("key", row["key_id"]),
    }
