"""What can be checked every few seconds: the writer's tables against each other and the clock."""

from typing import NamedTuple

from libs.events.times import to_text
from libs.runtime.database import Connection
from services.ledger.checks.report import Difference, Differences
from services.ledger.invariants import CLOSED_BY_NOW
from services.ledger.replay import NEVER_NEGATIVE

LISTED = 20

OVERDUE = """
select reservation_id, expires_at, count(*) over () as total from ledger.reservations
where expires_at < now() - make_interval(secs => $1) order by expires_at limit $2
"""
UNBALANCED = """
select account_id, a.available, a.reserved, coalesce(r.held, 0) as held,
  count(*) over () as total,
  count(*) filter (where a.available < 0 or a.reserved < 0) over () as negative,
  count(*) filter (where a.reserved is distinct from coalesce(r.held, 0)) over () as unlike
from ledger.accounts a
full join (
  select account_id, sum(amount)::bigint as held from ledger.reservations group by account_id
) r using (account_id)
where a.available < 0 or a.reserved < 0 or a.reserved is distinct from coalesce(r.held, 0)
order by account_id limit $1
"""


class Found(NamedTuple):
    """What a quick check found: how many rows in all, of which invariant, and the first of them."""

    rows: int
    invariants: dict[str, int]
    listed: list[Difference]


async def overdue(connection: Connection, after_s: float) -> Found:
    """Reservations that should have been closed so many seconds ago."""
    differences, count = Differences(), 0
    for row in await connection.fetch(OVERDUE, after_s, LISTED):
        name, due = f"req_{row['reservation_id'].hex}", to_text(row["expires_at"])
        differences.add("ledger.reservations", name, "expires_at", due, CLOSED_BY_NOW)
        count = row["total"]
    return Found(count, {"no_overdue_reservation": count}, differences.listed)


async def unbalanced(connection: Connection) -> Found:
    """Accounts below zero, and those that hold another sum than their open reservations."""
    differences, count, negative, unlike = Differences(), 0, 0, 0
    for row in await connection.fetch(UNBALANCED, LISTED):
        name = f"acct_{row['account_id'].hex}"
        count, negative, unlike = row["total"], row["negative"], row["unlike"]
        for column in ("available", "reserved"):
            if (row[column] or 0) < 0:
                differences.add("ledger.accounts", name, column, row[column], NEVER_NEGATIVE)
        if row["reserved"] != row["held"]:
            differences.add("ledger.accounts", name, "reserved", row["reserved"], row["held"])
    return Found(count, {"no_negative": negative, "tables_equal_log": unlike}, differences.listed)
