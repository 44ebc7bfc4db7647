"""`farebox audit balance` and `farebox audit events`: what they ask for and what they print."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from farebox.audit_access import AuditError, address, run
from libs.events.events import TYPE_CODES
from libs.events.ids import is_id
from libs.events.money import decimal_text
from libs.runtime.database import Connection
from services.ledger.history import HistoryError, Standing, Stored, Wanted, events, standing
from services.ledger.replay_state import Grant

Told = dict[str, Any]

RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
PARTS = ("granted", "available", "reserved", "charged", "expired", "clawed", "moved")
GRANT = "{:>5} {:<12} {:>4} {:>27}" + " {:>12}" * len(PARTS)


def balance_of(account: str, at: str, database_url: str, data: Path) -> Told:
    """An account as of a position or time (empty: the log's end). Raises AuditError."""
    _require_account(account)
    moment = _place(at) if at else None

    async def work(connection: Connection) -> Standing:
        return await standing(connection, account, moment)

    try:
        return _told(run(address(database_url, data), work))
    except HistoryError as error:
        raise AuditError(str(error)) from error


def print_events(wanted: Wanted, database_url: str, data: Path) -> int:
    """Print the bodies as JSON lines as they come; how many could not be read. Raises AuditError.

    Whoever reads the lines may stop reading (`| head`): that ends it well.
    """

    async def work(connection: Connection) -> int:
        damaged = 0
        async with contextlib.aclosing(events(connection, wanted)) as runs:
            async for stored in runs:
                readable = [each.body for each in stored if _is_line(each)]
                damaged += len(stored) - len(readable)
                if not _written(readable):
                    break
        return damaged

    try:
        return run(address(database_url, data), work)
    except HistoryError as error:
        raise AuditError(str(error)) from error


def wanted_events(
    partition: int | None,
    account: str | None,
    types: Sequence[str],
    first: str,
    until: str,
    limit: int | None,
) -> Wanted:
    """The filter, checked. Raises AuditError."""
    if account is not None and re.fullmatch(r"part_\d{1,4}", account, re.ASCII) is None:
        _require_account(account)
    for name in types:
        if name not in TYPE_CODES:
            raise AuditError(f"no event type {name!r}: choose of {', '.join(TYPE_CODES)}")
    codes = [TYPE_CODES[name] for name in types] or None
    bounds = _place(first) if first else 1, _place(until) if until else None
    return Wanted(partition, account, codes, *bounds, limit)


def _require_account(account: str) -> None:
    if not is_id(account, "acct"):
        raise AuditError(f"{account!r} is not an account: give acct_ and 32 hex digits")


def _place(at: str) -> int | datetime:
    if at.isascii() and at.isdigit() and len(at) < 19:
        return int(at)
    return _time(at)


def _time(text: str) -> datetime:
    """RFC 3339 with its offset; the seconds may have a fraction."""
    with contextlib.suppress(ValueError):
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    raise AuditError(f"{text!r} is neither a position nor a time like 2026-11-20T19:10:38Z")


def _is_line(event: Stored) -> bool:
    """Bytes that are no JSON, or no single line, would break what reads the lines."""
    problem = "it has more than one line" if b"\n" in event.body else None
    try:
        orjson.loads(event.body)
    except orjson.JSONDecodeError as error:
        problem = str(error)
    if problem is not None:
        place = f"{event.partition}:{event.position}"
        print(f"farebox: event {place} cannot be read: {problem}", file=sys.stderr)
    return problem is None


def _written(bodies: Sequence[bytes]) -> bool:
    try:
        sys.stdout.buffer.write(b"".join(body + b"\n" for body in bodies))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _told(found: Standing) -> Told:
    account = found.account
    unit = account.unit or ""

    def text(nanos: int) -> str:
        return decimal_text(nanos, unit)

    return {
        "account_id": account.account_id,
        "partition": found.partition,
        "as_of_position": found.position,
        "log_end": found.log_end,
        "last_position": account.position,
        "version": account.version,
        "unit": unit,
        "plan": account.plan,
        "status": account.status,
        "freezes": account.freezes,
        "available": text(account.available),
        "reserved": text(account.reserved),
        "total": text(account.available + account.reserved),
        "grants": [_grant(grant, unit) for grant in account.grants.values()],
        "reservations": [
            {"res": res, "amount": text(hold.amount), "expires_at": hold.expires_at}
            for res, hold in found.holds.items()
        ],
        "differences": [difference._asdict() for difference in found.differences],
    }


def _grant(grant: Grant, unit: str) -> Told:
    return {
        "grant_no": grant.no,
        "source": grant.source,
        "priority": grant.priority,
        "expires_at": grant.expires_at,
        "payment": grant.payment,
        **{part: decimal_text(getattr(grant, part), unit) for part in PARTS},
    }


def balance_json(told: Told) -> str:
    return json.dumps(told, indent=2)


def balance_text(told: Told) -> str:
    place = f"position {told['as_of_position']:,} of {told['log_end']:,}"
    lines = [
        f"{told['account_id']}  {told['unit']}  plan {told['plan']}  {told['status']}",
        f"partition {told['partition']} up to {place}",
        f"the account's last event is {told['last_position']:,}",
        "",
        *(f"{name:<10} {told[name]:>20}" for name in ("available", "reserved", "total")),
    ]
    if told["grants"]:
        lines += ["", GRANT.format("grant", "source", "prio", "expires", *PARTS)]
    for grant in told["grants"]:
        named = (grant["grant_no"], grant["source"], grant["priority"])
        parts = (grant[part] for part in PARTS)
        lines.append(GRANT.format(*named, grant["expires_at"] or "never", *parts))
    for hold in told["reservations"]:
        lines.append(f"holds {hold['amount']:>14} for {hold['res']} until {hold['expires_at']}")
    lines += [
        f"DIFFERENT  {d['table']} {d['row']} {d['column']}: stored {d['stored']}, "
        f"computed {d['computed']}"
        for d in told["differences"]
    ]
    return "\n".join(lines)
