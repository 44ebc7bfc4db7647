"""What `farebox audit` does and prints. Amounts are decimal texts of the account's unit."""

import json
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from farebox.audit_access import AuditError, address, run
from libs.events.ids import is_id, partition_of
from libs.events.money import decimal_text
from libs.events.queries import BalanceQuestion, EntriesQuestion
from libs.runtime.clock import SystemClock
from libs.runtime.database import Connection
from services.ledger.checks.reading import hold_projections, installed_partitions
from services.ledger.queries import Queries
from services.ledger.replay_tables import NAMES, Replayed, replay
from services.ledger.verify import Report, verify

AMOUNTS = ("amount", "available", "reserved")
LINE = "{:<27} {:<12} {:>16} {:>16} {:>16}  {}"

Told = dict[str, Any]


def verified(database_url: str, data: Path, *, projections: bool) -> Report:
    """Verify a whole ledger, with a line of progress now and then. Raises AuditError."""
    tell = teller()

    async def work(connection: Connection) -> Report:
        return await verify(connection, tell, projections=projections)

    return run(address(database_url, data), work)


def replayed(tables: Collection[str], database_url: str, data: Path) -> Replayed:
    """Make some tables (all, when none is named) anew beside the live ones. Raises AuditError."""
    for name in tables:
        if name not in NAMES:
            raise AuditError(f"{name!r} is no table of the log's: choose of {', '.join(NAMES)}")
    tell = teller()

    async def work(connection: Connection) -> Replayed:
        return await replay(connection, tables or NAMES, tell)

    return run(address(database_url, data), work)


def teller() -> Callable[[str], None]:
    """Prints progress on stderr, each line with the seconds since now."""
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", file=sys.stderr, flush=True)

    return tell


def statement_of(account: str, database_url: str, data: Path) -> Told:
    """All lines of an account and whether they add up, in one snapshot. Raises AuditError."""
    if not is_id(account, "acct"):
        raise AuditError(f"{account!r} is not an account: give acct_ and 32 hex digits")

    async def work(connection: Connection) -> Told:
        return await _statement(connection, account)

    return run(address(database_url, data), work)


async def _statement(connection: Connection, account: str) -> Told:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await hold_projections(connection)
        partitions = await installed_partitions(connection)
        partition = partition_of(account, partitions)
        queries = Queries(
            connection, SystemClock(), partitions=partitions, wait_s=0, nudge=lambda _p: None
        )
        balance = await queries.tell(partition, BalanceQuestion(account_id=account))
        lines: list[Told] = []
        after = None
        while True:
            page = await queries.tell(partition, EntriesQuestion(account_id=account, after=after))
            lines += page.data["entries"]
            after = page.data["next"]
            if after is None:
                break
    behind = balance.position > (page.as_of_position or 0)
    return _told(account, balance.data, lines, behind=behind)


def _told(account: str, balance: Told, lines: list[Told], *, behind: bool) -> Told:
    unit = balance["unit"]
    total = sum(int(line["amount"]) for line in lines)
    return {
        "account_id": account,
        "unit": unit,
        "plan": balance["plan"],
        "status": balance["status"],
        "available": decimal_text(int(balance["available"]), unit),
        "reserved": decimal_text(int(balance["reserved"]), unit),
        "total": decimal_text(int(balance["total"]), unit),
        "sum_of_lines": decimal_text(total, unit),
        "adds_up": total == int(balance["available"]),
        "projection_is_behind": behind,
        "entries": [
            {**line, **{name: decimal_text(int(line[name]), unit) for name in AMOUNTS}}
            for line in lines
        ],
    }


def statement_json(told: Told) -> str:
    return json.dumps(told, indent=2)


def statement_text(told: Told) -> str:
    lines = [f"{told['account_id']}  {told['unit']}  plan {told['plan']}  {told['status']}", ""]
    lines.append(LINE.format("time", "type", *AMOUNTS, "what"))
    for entry in told["entries"]:
        what = entry["operation"] or entry["source"] or entry["reason_code"] or ""
        named = f"{what} {entry['res'] or ''}".strip()
        amounts = [entry[name] for name in AMOUNTS]
        lines.append(LINE.format(entry["occurred_at"], entry["type"], *amounts, named).rstrip())
    equal = "=" if told["adds_up"] else "≠"
    lines += ["", f"sum of lines {told['sum_of_lines']} {equal} available {told['available']}"]
    if told["projection_is_behind"]:
        lines.append("the statement is behind the log: `farebox serve reader` brings it up to date")
    return "\n".join(lines)


def report_json(report: Report) -> str:
    """Everything in the report; the amounts of the books are digit strings of nanos."""
    fields = report._asdict()
    fields["differences"] = [difference._asdict() for difference in report.differences]
    fields["books"] = {
        unit: {name: str(amount) for name, amount in lines.items()}
        for unit, lines in report.books.items()
    }
    for name in ("seconds", "log_seconds"):
        fields[name] = round(fields[name], 3)
    return json.dumps({"ok": report.ok, **fields}, indent=2)


def replayed_json(report: Replayed) -> str:
    fields = report._asdict()
    fields["differences"] = [difference._asdict() for difference in report.differences]
    fields["seconds"] = round(report.seconds, 3)
    return json.dumps({"ok": report.ok, **fields}, indent=2)


def replayed_text(report: Replayed) -> str:
    rate = report.events / report.seconds if report.seconds else 0
    lines = [f"{report.events:,} events replayed in {report.seconds:.1f} s, {rate:,.0f} a second"]
    for name, at in report.projected.items():
        lines.append(f"{name}: compared at {at:,} of {report.events:,} events")
    lines += [f"DIFFERENT  {difference}" for difference in report.differences]
    if report.ok:
        lines.append(f"{', '.join(report.tables)}: every row is what the log says")
    else:
        lines.append(f"{report.difference_count:,} differences")
    return "\n".join(lines)


def report_text(report: Report) -> str:
    rate = report.events / report.log_seconds if report.log_seconds else 0
    log = f"{report.log_seconds:.1f} s ({rate:,.0f} a second), {report.seconds:.1f} s in all"
    counts = (
        f"{report.accounts:,} accounts, {report.open_reservations:,} open reservations, "
        f"{report.keys:,} keys"
    )
    lines = [f"{report.events:,} events checked, hashed, chained and folded in {log}", counts]
    for name, at in report.projected.items():
        lines.append(f"{name}: {at:,} of {report.events:,} events projected")
    for unit, books in report.books.items():
        lines.append(f"books in {unit}:")
        lines += [f"  {name:<24} {decimal_text(n, unit):>20}" for name, n in books.items()]
    lines.append("invariants:")
    for name, differences in report.invariants.items():
        told = f"{differences:,} differences" if differences else "holds"
        lines.append(f"  {name:<24} {told:>20}")
    lines += [f"DIFFERENT  {difference}" for difference in report.differences]
    if report.ok:
        lines.append("everything is what the log says")
    else:
        lines.append(f"{report.difference_count:,} differences")
    return "\n".join(lines)
