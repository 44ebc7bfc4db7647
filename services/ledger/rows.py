"""Rows as the data of answers: ids and times as text, amounts as digit strings, pages that fit."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.ids import id_of
from libs.events.times import to_text

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


def key(row: Row) -> dict[str, Any]:
    return {
        **row,
        "key_id": id_text("key", row["key_id"]),
        "lineage": id_text("key", row["lineage"]),
        "rotates": id_text("key", row["rotates"]),
        "expires_at": time_text(row["expires_at"]),
        **{name: digits(row[name]) for name in ("cap_total", "cap_day", "cap_month")},
    }
