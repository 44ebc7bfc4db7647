"""The ledger's Postgres in memory: the same interface as Store, keys, checks, and failures.

Reads take no time, so what the writer has in memory changes no schedule; appends take some, and
may be refused, or lose their connection before or after the commit.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.commands import KIND_CODES
from services.ledger.answers import Recorded
from services.ledger.columns import Columns, bare, instant
from services.ledger.command_key import CommandKey, key_columns
from services.ledger.domain.catalogues import Terms
from services.ledger.domain.state import Data, Lot, Refunded, Reservation
from services.ledger.slot import EMPTY, Slot
from services.ledger.snapshots import account_of, lot_of, reservation_of, term_of
from services.ledger.store import CommandRow, LogEnd

INJECTED = "40P01"
"""The SQLSTATE of an injected refusal: a deadlock, as definite as it is innocent."""
LOT = (
    "grant_no", "source", "priority", "expires_at", "payment", "granted", "clawed", "shortfall",
    "causes",
)  # fmt: skip


@dataclass
class Chances:
    """How likely an append is to fail in each way."""

    refused: float = 0.01
    cut_before: float = 0.006
    cut_after: float = 0.006
    slow: float = 0.02


REFUSALS = (asyncpg.DeadlockDetectedError,) * 4 + (asyncpg.DiskFullError,)


@dataclass
class Database:
    rng: random.Random
    chances: Chances = field(default_factory=Chances)
    events: dict[int, tuple[str, int, int, bytes, bytes]] = field(default_factory=dict)
    commands: dict[tuple[str, int, str], CommandRow] = field(default_factory=dict)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    reservations: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)
    fees: list[tuple[Any, ...]] = field(default_factory=list)
    refunds: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    lots: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    holder: "Session | None" = None
    answers_before_commit: bool = False
    """A mutation for the canary: an append returns before it is durable."""
    forgets_commands: bool = False
    """A mutation for the canary: the look-up of commands finds nothing."""

    def commit(self, columns: Columns) -> None:
        """All of the batch or nothing: keys and checks first, as one statement would."""
        self._check(columns)
        for position, *event in columns.events:
            self.events[position] = tuple(event)
        for caller, kind, account, position, count, print_ in columns.commands:
            self.commands[caller, kind, account] = CommandRow(position, count, print_)
        for row in columns.accounts:
            self.accounts[row[0]] = dict(zip(ACCOUNT, row[1:], strict=True))
        for res, account, position, expires_at, amount, state in columns.opened:
            self.reservations[res] = (account, position, instant(expires_at), amount, state)
        for res in columns.closed:
            self.reservations.pop(res, None)
        for res, expires_at, amount, state in columns.extended:
            if res in self.reservations:
                account, position, *_ = self.reservations[res]
                self.reservations[res] = (account, position, expires_at, amount, state)
        self._commit_rare(columns)

    def _commit_rare(self, columns: Columns) -> None:
        for row in columns.issued:
            named = dict(zip(KEY, row, strict=True))
            allowed = named["allowed"]
            self.keys[row[0]] = {**named, "allowed": orjson.loads(allowed) if allowed else None}
        for key_id, status, expires_at in columns.changed_keys:
            if key_id in self.keys:
                self.keys[key_id].update(status=status, expires_at=expires_at)
        self.notes.update(row[0] for row in columns.notes)
        self.fees += columns.fees
        for name, position, effective_from, withdrawn_from in columns.published.values():
            self.published[name] = {
                "position": position, "effective_from": effective_from,
                "withdrawn_from": withdrawn_from,
            }  # fmt: skip
        for name, at in columns.withdrawn.values():
            self.published[name]["withdrawn_from"] = at
        for row in columns.refunded.values():
            self.refunds[row[0]] = row
        for account, _, *lot in columns.granted:
            self.lots[account, lot[0]] = dict(zip(LOT, lot, strict=True))
        for account, no, clawed, shortfall, causes in columns.changed_lots:
            row = self.lots[account, no]
            merged = {**orjson.loads(row["causes"]), **orjson.loads(causes)}
            left = {name: target for name, target in merged.items() if target is not None}
            row["clawed"] += clawed
            row["shortfall"] += shortfall
            row["causes"] = orjson.dumps(left).decode()

    def _check(self, columns: Columns) -> None:
        _unique("events_0", [row[0] for row in columns.events], self.events)
        _unique("commands", [row[:3] for row in columns.commands], self.commands)
        _unique("reservations", [row[0] for row in columns.opened], self.reservations)
        _unique("api_keys", [row[0] for row in columns.issued], self.keys)
        _unique("published", list(columns.published), self.published)
        _unique("notes", [row[0] for row in columns.notes], self.notes)
        _unique("granted", [(row[0], row[2]) for row in columns.granted], self.lots)
        once = {row[0] for row in columns.accounts}
        if len(once) < len(columns.accounts):
            raise asyncpg.CardinalityViolationError("one account twice")
        if any(row[4] < 0 or row[5] < 0 for row in columns.accounts):
            raise asyncpg.CheckViolationError("accounts: a negative balance")
        if any(row[2] <= 0 for row in columns.refunded.values()):
            raise asyncpg.CheckViolationError("refunded_amount_check")
        for account, no, clawed, shortfall, _ in columns.changed_lots:
            row = self.lots[account, no]
            if row["clawed"] + clawed < 0 or row["shortfall"] + shortfall < 0:
                raise asyncpg.CheckViolationError("granted_claims_check")

    def bodies(self) -> list[dict[str, Any]]:
        return [orjson.loads(self.events[position][3]) for position in sorted(self.events)]


def _unique(table: str, new: Sequence[Any], there: Any) -> None:
    if len(set(new)) < len(new) or any(key in there for key in new):
        error = asyncpg.UniqueViolationError(f"duplicate key in {table}")
        error.table_name = table
        raise error


ACCOUNT = (
    "unit", "plan", "status", "available", "reserved", "version", "position", "head", "armed",
    "next_expiry", "state",
)  # fmt: skip
KEY = (
    "key_id", "account_id", "secret_hash", "purpose", "prefix", "allowed", "cap_total", "cap_day",
    "cap_month", "expires_at", "lineage", "rotates", "status", "position",
)  # fmt: skip


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed


class Session:
    """One connection of a writer, with the methods of Store that it uses."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = Connection()
        self.partition = 0

    def close(self) -> None:
        """The backend has ended, and with it the lock."""
        self.connection.closed = True
        if self.database.holder is self:
            self.database.holder = None

    async def try_lock(self) -> bool:
        self._alive()
        if self.database.holder not in (None, self):
            return False
        self.database.holder = self
        return True

    async def last_event(self) -> LogEnd:
        events = self._alive().events
        if not events:
            return LogEnd(0, None, None)
        body = orjson.loads(events[len(events)][3])
        return LogEnd(len(events), body["occurred_at"], body["incarnation"])

    async def commands(self, keys: Sequence[CommandKey]) -> dict[CommandKey, CommandRow]:
        database = self._alive()
        if database.forgets_commands:
            return {}
        rows = {key: key_columns(key) for key in keys}
        known = database.commands
        return {key: known[row] for key, row in rows.items() if row in known}

    async def accounts(self, account_ids: Iterable[str]) -> dict[str, Slot]:
        database, slots = self._alive(), {}
        for account_id in account_ids:
            row = database.accounts.get(bare(account_id))
            if row is not None:
                keys = [
                    {**key, "key_id": UUID(key["key_id"]), "lineage": UUID(key["lineage"])}
                    for key in database.keys.values()
                    if key["account_id"] == bare(account_id)
                ]
                expiry = row["next_expiry"]
                timed = {**row, "next_expiry": instant(expiry) if expiry else None}
                account = account_of(timed, account_id, keys)
                slots[account_id] = Slot(account, row["version"], row["head"], row["position"])
        return slots

    async def open_reservations(self) -> dict[str, Reservation]:
        database = self._alive()
        reservations = [
            reservation_of(f"acct_{account}", state or None, database.events[position][3])
            for account, position, _, _, state in database.reservations.values()
        ]
        return {reservation.res: reservation for reservation in reservations}

    async def owners(self, reservations: Iterable[str]) -> dict[str, str]:
        ids = {bare(res) for res in reservations}
        reserve = KIND_CODES["Reserve"]
        return {
            f"req_{caller}": f"acct_{account}"
            for caller, kind, account in self._alive().commands
            if kind == reserve and caller in ids
        }

    async def catalogues(self) -> Terms:
        return {name: term_of(row) for name, row in self._alive().published.items()}

    async def stream_end(self, _incarnation: int) -> Slot:
        database = self._alive()
        last = max((row["position"] for row in database.published.values()), default=0)
        if not last:
            return EMPTY
        _, version, _, _, head = database.events[last]
        return Slot(None, version, head, last)

    async def events(self, positions: Sequence[int]) -> dict[int, Recorded]:
        rows, found = self._alive().events, {}
        for position in positions:
            body = orjson.loads(rows[position][3])
            found[position] = Recorded(position, body["type"], body["data"])
        return found

    async def refunded(self, reservations: Iterable[str]) -> dict[tuple[str, str], Refunded]:
        rows = self._alive().refunds
        found = [rows[bare(res)] for res in reservations if bare(res) in rows]
        return {(f"acct_{row[1]}", f"req_{row[0]}"): Refunded(*row[2:5]) for row in found}

    async def fees_given_back(self, reservations: Iterable[str]) -> dict[tuple[str, str], Data]:
        ids = {bare(res) for res in reservations}
        return {
            (f"acct_{account}", f"req_{res}"): {
                "currency": currency, "minor": -minor, "schedule": schedule,
            }
            for _, account, res, currency, minor, schedule in self._alive().fees
            if res in ids and minor < 0
        }  # fmt: skip

    async def lots_by_number(self, named: Sequence[tuple[str, int]]) -> dict[str, dict[int, Lot]]:
        lots, found = self._alive().lots, {}
        for account_id, no in named:
            if (bare(account_id), no) in lots:
                found.setdefault(account_id, {})[no] = lot_of(lots[bare(account_id), no])
        return found

    async def lots_by_payment(
        self, accounts: Iterable[str], payments: Iterable[str], causes: Iterable[str]
    ) -> dict[str, dict[int, Lot]]:
        lots, found = self._alive().lots, {}
        ids, payments, causes = {bare(a) for a in accounts}, set(payments), set(causes)
        named = {
            (account, row["payment"])
            for (account, _), row in lots.items()
            if account in ids
            and row["payment"] is not None
            and (row["payment"] in payments or causes & orjson.loads(row["causes"]).keys())
        }
        for (account, no), row in lots.items():
            if (account, row["payment"]) in named:
                found.setdefault(f"acct_{account}", {})[no] = lot_of(row)
        return found

    async def append(self, columns: Columns) -> None:
        """Commit after a while, or fail in one of the ways a database fails."""
        database = self._alive()
        chances, rng = database.chances, database.rng
        fate, delay = rng.random(), rng.uniform(0.001, 0.004)
        if rng.random() < chances.slow:
            delay = rng.uniform(0.2, 2.5)
        if database.answers_before_commit:
            asyncio.get_running_loop().call_later(delay, self._commit_if_alive, columns)
            return
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:  # the process was killed; its backend may yet commit
            if not self.connection.closed and rng.random() < 0.5:
                database.commit(columns)
            raise
        self._alive()
        if fate < chances.refused:  # now: meanwhile others were decided on top of it
            raise rng.choice(REFUSALS)("an injected refusal")
        if fate < chances.refused + chances.cut_before:
            self._cut()
        database.commit(columns)
        if fate < chances.refused + chances.cut_before + chances.cut_after:
            self._cut()

    def _commit_if_alive(self, columns: Columns) -> None:
        """What is refused now, nobody hears of any more; nor of a row that it would change."""
        if not self.connection.closed:
            with contextlib.suppress(asyncpg.PostgresError, LookupError):
                self.database.commit(columns)

    def _cut(self) -> None:
        self.close()
        self._alive()

    async def still_leads(self) -> None:
        self._alive()

    async def make_room(self, up_to: int) -> None:
        self._alive()

    def _alive(self) -> Database:
        if self.connection.closed:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
        return self.database
