"""What can be checked every few seconds: the writer's tables against each other and the clock."""

from libs.events.times import to_text
from libs.runtime.database import Connection
from services.ledger.checks.report import Differences

LISTED = 20

OVERDUE = """
select reservation_id, expires_at, count(*) over () as total from ledger.reservations
where expires_at < now() - make_interval(secs => $1) order by expires_at limit $2
"""
UNBALANCED = """
select account_id, a.available, a.reserved, coalesce(r.held, 0) as held, count(*) over () as total
from ledger.accounts a
full join (
  select account_id, sum(amount)::bigint as held from ledger.reservations group by account_id
) r using (account_id)
where a.available is null or a.available < 0 or a.reserved < 0
  or a.reserved <> coalesce(r.held, 0)
order by account_id limit $1
"""


async def overdue(connection: Connection, after_s: float) -> Differences:
    """Reservations that should have been closed so many seconds ago."""
    differences = Differences()
    for row in await connection.fetch(OVERDUE, after_s, LISTED):
        name, due = f"req_{row['reservation_id'].hex}", to_text(row["expires_at"])
        differences.add("ledger.reservations", name, "expires_at", due, "closed by now")
        differences.count = row["total"]
    return differences


async def unbalanced(connection: Connection) -> Differences:
    """Accounts below zero, and those that hold another sum than their open reservations."""
    differences = Differences()
    for row in await connection.fetch(UNBALANCED, LISTED):
        name = f"acct_{row['account_id'].hex}"
        for column in ("available", "reserved"):
            if (row[column] or 0) < 0:
                differences.add("ledger.accounts", name, column, row[column], "never negative")
        if row["reserved"] != row["held"]:
            differences.add("ledger.accounts", name, "reserved", row["reserved"], row["held"])
        differences.count = row["total"]
    return differences
