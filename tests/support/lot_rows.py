"""The rows of the cold tables, by plain sums over the bodies of a hand-written log."""

from typing import Any

import asyncpg
import orjson

from libs.events.ids import parse_id
from libs.events.times import from_text

UPSERT_LOT = """insert into ledger.granted (account_id, grant_no, partition, position, source,
priority, expires_at, payment, granted, clawed, shortfall, causes)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (account_id, grant_no) do update set clawed = excluded.clawed,
shortfall = excluded.shortfall, causes = excluded.causes"""
UPSERT_REFUND = """insert into ledger.refunded
(reservation_id, partition, account_id, amount, margin, count) values ($1, $2, $3, $4, $5, $6)
on conflict (reservation_id) do update set amount = excluded.amount, margin = excluded.margin,
count = excluded.count"""


class LotRows:
    def __init__(self) -> None:
        self.lots: dict[tuple[str, int], dict[str, Any]] = {}
        self.refunds: dict[str, list[Any]] = {}

    def follow(self, body: dict[str, Any]) -> None:
        kind, data, account = body["type"], body["data"], body["account_id"]
        if kind == "CreditsGranted":
            given = {name: data[name] for name in ("source", "priority", "expires_at", "payment")}
            self.lots[account, data["grant_no"]] = {
                **given, "partition": body["partition"], "position": body["position"],
                "granted": int(data["amount"]), "clawed": 0, "shortfall": 0, "causes": {},
            }  # fmt: skip
        elif kind == "CreditsRefunded":
            row = self.refunds.setdefault(data["res"], [body["partition"], account, 0, 0, 0])
            row[2:] = row[2] + int(data["amount"]), row[3] + int(data["margin"]), data["refund_no"]
        elif kind == "CreditsClawedBack" and data["cause"] not in ("adjustment", "write_off"):
            lot = self.lots[account, data["grant_no"]]
            lot["clawed"] += int(data["amount"])
            lot["shortfall"] += int(data["shortfall"])
            lot["causes"][data["cause"]] = int(data["target"])
        elif kind == "ClawbackReversed":
            lot = self.lots[account, data["grant_no"]]
            lot["clawed"] -= int(data["amount"])
            lot["shortfall"] -= int(data["shortfall_cancelled"])
            lot["causes"].pop(data["cause"], None)

    async def write(self, connection: asyncpg.Connection) -> None:
        for (account, no), lot in self.lots.items():
            expires_at = from_text(lot["expires_at"]) if lot["expires_at"] else None
            await connection.execute(
                UPSERT_LOT, parse_id(account), no, lot["partition"], lot["position"],
                lot["source"], lot["priority"], expires_at, lot["payment"], lot["granted"],
                lot["clawed"], lot["shortfall"], orjson.dumps(lot["causes"]).decode(),
            )  # fmt: skip
        for res, (partition, account, *amounts) in self.refunds.items():
            row = (parse_id(res), partition, parse_id(account), *amounts)
            await connection.execute(UPSERT_REFUND, *row)
