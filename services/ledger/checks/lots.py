"""The cold tables: what every grant was, what claims took of it, and what was refunded."""

from typing import Any

import orjson

from libs.events.ids import parse_id
from libs.events.times import to_text
from libs.runtime.database import Connection
from services.ledger.checks.report import Differences
from services.ledger.checks.tables import rows_of
from services.ledger.replay import Fold
from services.ledger.replay_state import Grant

GRANTED = """
select account_id, grant_no, position, source, priority, expires_at, payment, granted, clawed,
  shortfall, causes
from ledger.granted where partition = $1
"""
REFUNDED = """
select reservation_id, account_id, amount, margin, count from ledger.refunded where partition = $1
"""
EXCEEDING = """
select reservation_id, charge, refunded from ledger.requests
where partition = $1 and refunded > charge
"""
STATED = """
select account_id, grant_no, granted, available, reserved, charged - refunded as charged, expired,
  clawed, moved
from ledger.grants where partition = $1
"""
PARTS = ("granted", "available", "reserved", "charged", "expired", "clawed", "moved")
COLUMNS = (
    "position", "source", "priority", "expires_at", "payment", "granted", "clawed", "shortfall",
    "causes",
)  # fmt: skip
REFUND_COLUMNS = ("account_id", "amount", "margin", "count")


async def check_lots(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    """Compare ledger.granted row by row."""
    expected = {
        (account.uuid, grant.no): (account.account_id, grant)
        for account in fold.accounts.values()
        for grant in account.grants.values()
    }
    async for row in rows_of(connection, GRANTED, partition):
        name = f"acct_{row['account_id'].hex} {row['grant_no']}"
        _, grant = expected.pop((row["account_id"], row["grant_no"]), (None, None))
        if grant is None:
            differences.add("ledger.granted", name, "grant_no", row["grant_no"], None)
            continue
        stored = {column: row[column] for column in COLUMNS}
        stored["expires_at"] = to_text(row["expires_at"]) if row["expires_at"] else None
        stored["causes"] = orjson.loads(row["causes"])
        for column, computed in _columns(grant).items():
            if stored[column] != computed:
                differences.add("ledger.granted", name, column, stored[column], computed)
    for account_id, grant in expected.values():
        differences.add("ledger.granted", f"{account_id} {grant.no}", "grant_no", None, grant.no)


def _columns(grant: Grant) -> dict[str, Any]:
    return {
        "position": grant.position,
        "source": grant.source,
        "priority": grant.priority,
        "expires_at": grant.expires_at,
        "payment": grant.payment,
        "granted": grant.issued,
        "clawed": grant.claimed,
        "shortfall": grant.shortfall,
        "causes": grant.causes,
    }


async def check_grants(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    """Compare the statement by grant with the fold, which computes it by another way."""
    known = {account.uuid: account for account in fold.accounts.values()}
    async for row in rows_of(connection, STATED, partition):
        account = known.get(row["account_id"])
        grant = account.grants.get(row["grant_no"]) if account else None
        if grant is None:
            continue  # its row was reported as one of nothing
        name = f"acct_{row['account_id'].hex}:{row['grant_no']}"
        for column in PARTS:
            stored, computed = int(row[column]), getattr(grant, column)
            if stored != computed:
                differences.add("ledger.grants", name, column, stored, computed)


async def check_refunds(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    """Compare ledger.refunded row by row, and every refund with what its receipt charged."""
    expected = {
        parse_id(res, "req"): (account.uuid, *refunds)
        for account in fold.accounts.values()
        for res, refunds in account.refunds.items()
    }
    async for row in rows_of(connection, REFUNDED, partition):
        name, computed = f"req_{row[0].hex}", expected.pop(row[0], None)
        if computed is None:
            differences.add("ledger.refunded", name, "amount", row["amount"], None)
            continue
        for column, right in zip(REFUND_COLUMNS, computed, strict=True):
            if row[column] != right:
                differences.add("ledger.refunded", name, column, row[column], right)
    for res, missing in expected.items():
        differences.add("ledger.refunded", f"req_{res.hex}", "amount", None, missing[1])
    async for row in rows_of(connection, EXCEEDING, partition):
        name = f"req_{row[0].hex}"
        differences.add("ledger.requests", name, "refunded", row["refunded"], f"≤ {row['charge']}")
