"""Compares the tables that the writer keeps beside the log with the fold of the log."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.ids import parse_id
from libs.events.times import to_text
from libs.runtime.database import Connection
from services.ledger.checks.report import Differences
from services.ledger.replay import Fold
from services.ledger.replay_state import Account, Hold
from services.ledger.snapshots import reservation_of

Columns = asyncpg.Record
CHUNK = 5000


async def rows_of(connection: Connection, query: str, *arguments: object) -> AsyncIterator[Columns]:
    """The rows of a query through a cursor, so that a large table does not fill the memory."""
    cursor = await connection.cursor(query, *arguments)
    while chunk := await cursor.fetch(CHUNK):
        for row in chunk:
            yield row


async def check_accounts(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    expected = {a.uuid: a for a in fold.accounts.values() if a.unit is not None}
    query = "select * from ledger.accounts where partition = $1"
    await _match(
        connection, query, partition, "accounts", "account_id", expected, _account, differences
    )


async def check_reservations(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    expected = {parse_id(res, "req"): hold for res, hold in fold.holds.items()}
    query = (
        "select r.*, case when r.state is null then e.body end as body from ledger.reservations r"
        " left join ledger.events e using (partition, position) where r.partition = $1"
    )
    await _match(
        connection, query, partition, "reservations", "reservation_id", expected, _hold, differences
    )


async def check_keys(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    expected = {parse_id(key, "key"): columns for key, columns in fold.keys.items()}
    query = "select * from ledger.api_keys where partition = $1"
    await _match(connection, query, partition, "api_keys", "key_id", expected, _key, differences)


async def check_published(
    connection: Connection, partition: int, fold: Fold, differences: Differences
) -> None:
    """What the partition sells by, and that each text that is kept is the one of its hash."""
    expected = dict(fold.catalogues)
    async for row in rows_of(connection, PUBLISHED, partition):
        name, sold = row["hash"], expected.pop(row["hash"], None)
        if sold is None:
            differences.add("ledger.published", name, "hash", name, None)
            continue
        for column, stored, computed in (
            ("position", row["position"], sold.position),
            ("effective_from", _time(row["effective_from"]), sold.effective_from),
            ("withdrawn_from", _time(row["withdrawn_from"]), sold.withdrawn_from),
            ("text", row["text"] and hashlib.sha256(row["text"].encode()).hexdigest(), name),
        ):
            if stored != computed and not (column == "text" and stored is None):
                differences.add("ledger.published", name, column, stored, computed)
    for missing in expected:
        differences.add("ledger.published", missing, "hash", None, missing)


PUBLISHED = """
select p.*, c.text from ledger.published p left join ledger.catalogues c using (hash)
where p.partition = $1
"""

Compared = Iterable[tuple[str, Any, Any]]
"""(column, stored, computed)."""


async def _match(
    connection: Connection,
    query: str,
    partition: int,
    table: str,
    identity: str,
    expected: dict[UUID, Any],
    compare: Callable[[Columns, Any], Compared],
    differences: Differences,
) -> None:
    """Compare row by row; rows that only one side has are differences too."""
    prefix = {"account_id": "acct", "reservation_id": "req", "key_id": "key"}[identity]
    async for row in rows_of(connection, query, partition):
        name = f"{prefix}_{row[identity].hex}"
        if row[identity] not in expected:
            differences.add(f"ledger.{table}", name, identity, name, None)
            continue
        for column, stored, computed in compare(row, expected.pop(row[identity])):
            if stored != computed:
                differences.add(f"ledger.{table}", name, column, stored, computed)
    for missing in expected:
        name = f"{prefix}_{missing.hex}"
        differences.add(f"ledger.{table}", name, identity, None, name)


def _account(row: Columns, account: Account) -> Compared:
    yield "unit", row["unit"], account.unit
    yield "plan", row["plan"], account.plan
    yield "status", row["status"], account.status
    yield "available", row["available"], account.available
    yield "reserved", row["reserved"], account.reserved
    yield "version", row["version"], account.version
    yield "position", row["position"], account.position
    yield "head", row["head"], account.head
    yield "next_expiry", _time(row["next_expiry"]), account.next_expiry
    try:
        state = orjson.loads(row["state"])
        yield "state.freezes", sorted(state["freezes"]), sorted(account.freezes)
        stored = {grant[0]: grant for grant in state["grants"]}
        dues = {int(no): due[0] for no, due in state.get("dues", {}).items()}
    except (LookupError, TypeError, ValueError) as error:
        yield "state", f"{type(error).__name__}: {error}", "freezes and grants"
        return
    live = {g.no: g for g in account.grants.values() if g.available or g.reserved}
    for no in stored.keys() | live.keys():
        grant = live.get(no)
        computed = grant and [
            grant.no, grant.available, grant.reserved, grant.priority, grant.expires_at,
            grant.source, grant.payment,
        ]  # fmt: skip
        yield f"state.grants {no}", stored.get(no), computed
    for grant in account.grants.values():
        yield f"conservation of grant {grant.no}", grant.left_over, 0
    owing = {grant.no: grant.due for grant in account.grants.values() if grant.due}
    yield "state.dues", dues, owing
    for payment, (claimed, target, issued) in account.claims().items():
        yield f"claims on payment {payment}", claimed, min(target, issued)


def _hold(row: Columns, hold: Hold) -> Compared:
    yield "account_id", f"acct_{row['account_id'].hex}", hold.account_id
    yield "position", row["position"], hold.position
    yield "expires_at", _time(row["expires_at"]), hold.expires_at
    yield "amount", row["amount"], hold.amount
    try:
        kept = reservation_of(hold.account_id, row["state"], row["body"])
    except (LookupError, TypeError, ValueError) as error:
        yield "state", f"{type(error).__name__}: {error}", "a reservation"
        return
    of: dict[int, int] = {}
    for no, part in kept.taken:
        of[no] = of.get(no, 0) + part
    yield "state.account_id", kept.account_id, hold.account_id
    yield "state.amount", kept.amount, hold.amount
    yield "state.expires_at", kept.expires_at, hold.expires_at
    yield "state.taken", of, dict(hold.of)
    yield "state.ceiling", kept.ceiling, hold.ceiling
    yield "state.calls", {c.call_id: c[1:] for c in kept.calls}, hold.calls


def _key(row: Columns, key: Mapping[str, Any]) -> Compared:
    yield "account_id", f"acct_{row['account_id'].hex}", key["account_id"]
    yield "secret_hash", row["secret_hash"].hex(), key["secret_hash"]
    for column in ("purpose", "prefix", "allowed", "status", "position"):
        yield column, row[column], key[column]
    for column in ("cap_total", "cap_day", "cap_month"):
        yield column, row[column], None if key[column] is None else int(key[column])
    yield "expires_at", _time(row["expires_at"]), key["expires_at"]
    yield "lineage", f"key_{row['lineage'].hex}", key["lineage"]
    yield "rotates", row["rotates"] and f"key_{row['rotates'].hex}", key["rotates"]


def _time(at: Any) -> str | None:
    return None if at is None else to_text(at)
