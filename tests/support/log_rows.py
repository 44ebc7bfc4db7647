"""The statements and small sums of the log builder."""

from typing import Any

INSERT_EVENT = """insert into ledger.events
(partition, position, account_id, version, type, body, hash) values ($1, $2, $3, $4, $5, $6, $7)"""
INSERT_COMMAND = """insert into ledger.commands
(caller_id, kind, account_id, position, event_count, fingerprint) values ($1, $2, $3, $4, 1, '')"""
UPSERT_ACCOUNT = """insert into ledger.accounts (account_id, partition, unit, plan, status, available,
reserved, version, position, head, armed, next_expiry, state)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null, $11, $12)
on conflict (account_id) do update set status = excluded.status, available = excluded.available,
reserved = excluded.reserved, version = excluded.version, position = excluded.position,
head = excluded.head, next_expiry = excluded.next_expiry, state = excluded.state"""
INSERT_HOLD = """insert into ledger.reservations
(reservation_id, partition, account_id, position, expires_at, amount, state)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (reservation_id) do update set
expires_at = excluded.expires_at, amount = excluded.amount, state = excluded.state"""
INSERT_FEE = """insert into ledger.fee_entries (partition, position, account_id, reservation_id,
currency, minor, schedule) values ($1, $2, $3, $4, $5, $6, $7)"""
INSERT_KEY = """insert into ledger.api_keys (key_id, partition, account_id, secret_hash, purpose,
prefix, allowed, expires_at, lineage, status, position)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (key_id) do update set status = excluded.status"""


def split(parts: list, amount: int) -> tuple[list, list]:
    """The first `amount` nanos of an allocation and the rest."""
    used, rest = [], []
    for no, text in parts:
        first = min(int(text), amount)
        amount -= first
        if first:
            used.append([no, str(first)])
        if int(text) > first:
            rest.append([no, str(int(text) - first)])
    return used, rest


def charged(res, hold, charge, taken, returned, extra, loss) -> dict[str, Any]:
    kind = None if not loss else ("late" if hold == 0 else "overrun")
    return {
        "res": res, "reserved_was": str(hold), "charge": str(charge), "margin": "0",
        "cost_pico": None, "basis": "actual", "taken": taken, "returned": returned,
        "extra": str(extra), "loss": str(loss), "loss_kind": kind, "fee": None,
        "usage": {"input_tokens": 10, "output_tokens": 5}, "model": "swift-1",
        "route": "north/swift-1", "route_reason": "first", "attempts": [], "finish": "stop",
        "status": 200,
    }  # fmt: skip
