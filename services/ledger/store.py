"""The writer's Postgres: one dedicated connection that holds the lock and runs every append."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from libs.events.codec import load_event
from libs.events.commands import KIND_CODES
from libs.events.ids import caller_bytes, partition_stream, stream_uuid
from services.ledger.answers import Recorded
from services.ledger.columns import Columns, bare, literal, transposed
from services.ledger.command_key import CommandKey, key_columns, key_in_row
from services.ledger.domain.catalogues import Terms
from services.ledger.domain.state import Data, Lot, Refunded, Reservation
from services.ledger.slot import EMPTY, Slot
from services.ledger.snapshots import account_of, lot_of, reservation_of, term_of
from services.ledger.statements import load

LOCK_SPACE = 1
"""First key of the advisory lock; the second is the partition."""
END_MS = 1000
BREATH = 10_000


class CommandRow(NamedTuple):
    position: int
    event_count: int
    fingerprint: bytes


class LogEnd(NamedTuple):
    """Where the log ends: its last event's place in it, time and incarnation; none of an empty."""

    position: int
    occurred_at: str | None
    incarnation: int | None


SQL = load("append.sql")


def is_definite(error: Exception, connection: "asyncpg.Connection[Any]") -> bool:
    """True when the database said no and still listens: then nothing was written.

    Everything else (a lost connection above all) leaves the outcome unknown.
    """
    return (
        isinstance(error, asyncpg.PostgresError)
        and not connection.is_closed()
        and error.sqlstate is not None
        and error.sqlstate[:2] not in {"08", "57", "XX"}
    )


def is_fenced(error: asyncpg.PostgresError) -> bool:
    """A position is taken: another writer leads. (The constraint is named after a partition.)"""
    table = str(getattr(error, "table_name", "") or "")
    return error.sqlstate == "23505" and table.startswith("events_")


def is_repeat(error: asyncpg.PostgresError) -> bool:
    """A key is taken that is no position: the log holds a command of this batch already."""
    return error.sqlstate == "23505" and not is_fenced(error)


def is_full(error: asyncpg.PostgresError) -> bool:
    """Disk full, out of memory, too many connections, or read-only: nobody can write now."""
    state = error.sqlstate or ""
    return state.startswith("53") or state == "25006" or has_no_room(error)


def has_no_room(error: asyncpg.PostgresError) -> bool:
    """No range of the log takes this position. It looks like a broken check without a name.

    A fault of the ledger's own tables, never of a command: none may be refused for it for good.
    """
    table, constraint = (getattr(error, name, None) for name in ("table_name", "constraint_name"))
    return error.sqlstate == "23514" and table == "events" and not constraint


class Store:
    def __init__(self, connection: "asyncpg.Connection[Any]", partition: int) -> None:
        self.connection = connection
        self.partition = partition
        self._append: Any = None
        self._append_rare: Any = None
        self._append_one: Any = None
        self._commands: Any = None
        self._accounts: Any = None

    async def try_lock(self) -> bool:
        """Take the partition's lock for as long as this connection lives; never waits."""
        return bool(
            await self.connection.fetchval(
                "select pg_try_advisory_lock($1, $2)", LOCK_SPACE, self.partition
            )
        )

    async def end_holder(self) -> int | None:
        """End the session that holds the partition's lock; its backend pid, None when none does.

        Waits until it is gone, at most END_MS: then the lock is free.
        """
        pid: int | None = await self.connection.fetchval(
            SQL["lock_holder"], LOCK_SPACE, self.partition
        )
        if pid is not None:
            await self.connection.fetchval("select pg_terminate_backend($1, $2)", pid, END_MS)
        return pid

    async def prepare(self) -> None:
        """Prepare the statements. All reads are point look-ups, whatever the statistics say.

        So one plan fits all batches; planning each anew costs a third of a lone command.
        """
        await self.connection.execute(
            "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;"
            " set plan_cache_mode = force_generic_plan"
        )
        prepare = self.connection.prepare
        self._append = await prepare(SQL["log"] + SQL["balances"])
        self._append_one = await prepare(SQL["one"])
        self._append_rare = await prepare(SQL["log"] + SQL["rare"] + SQL["accounts"])
        self._commands = await prepare(SQL["commands_by_key"])
        self._accounts = await prepare(SQL["accounts_by_id"])

    async def last_event(self) -> LogEnd:
        row = await self.connection.fetchrow(SQL["last_event"], self.partition)
        if row is None:
            return LogEnd(0, None, None)
        body = load_event(row["body"])
        return LogEnd(row["position"], body["occurred_at"], body["incarnation"])

    async def commands(self, keys: Sequence[CommandKey]) -> dict[CommandKey, CommandRow]:
        """Which of these commands the log already holds."""
        columns = transposed([key_columns(key) for key in keys], 3)
        rows = await self._commands.fetch(*map(literal, columns))
        return {
            key_in_row(row[0].bytes, row[1], row[2].bytes): CommandRow(*row[3:6]) for row in rows
        }

    async def accounts(self, account_ids: Iterable[str]) -> dict[str, Slot]:
        ids = [bare(account_id) for account_id in account_ids]
        rows = await self._accounts.fetch(ids, self.partition)
        if not rows:
            return {}
        keys: dict[UUID, list[Any]] = defaultdict(list)
        for key in await self.connection.fetch(SQL["keys_by_account"], ids):
            keys[key["account_id"]].append(key)
        slots = {}
        for row in rows:
            account_id = f"acct_{row['account_id'].hex}"
            account = account_of(row, account_id, keys[row["account_id"]])
            slots[account_id] = Slot(account, row["version"], row["head"], row["position"])
        return slots

    async def open_reservations(self) -> dict[str, Reservation]:
        rows = await self.connection.fetch(SQL["open_reservations"], self.partition)
        reservations = {}
        for number, row in enumerate(rows):
            account_id = f"acct_{row['account_id'].hex}"
            reservation = reservation_of(account_id, row["state"], row["body"])
            reservations[reservation.res] = reservation
            if number % BREATH == 0:
                await asyncio.sleep(0)  # pings are answered also while a million are read
        return reservations

    async def owners(self, reservations: Iterable[str]) -> dict[str, str]:
        """The account that opened a reservation by each of these ids, if one ever did."""
        ids = [bare(res) for res in reservations]
        rows = await self.connection.fetch(SQL["owners"], ids, KIND_CODES["Reserve"])
        return {f"req_{row[0].hex}": f"acct_{row[1].hex}" for row in rows}

    async def catalogues(self) -> Terms:
        """What this partition was ever told to sell by."""
        rows = await self.connection.fetch(SQL["published"], self.partition)
        return {row["hash"]: term_of(row) for row in rows}

    async def stream_end(self, incarnation: int) -> Slot:
        """Where the stream of the partition's own events ends."""
        own, caller = partition_stream(self.partition), f"incarnation:{incarnation}"
        key = UUID(bytes=caller_bytes(caller)), KIND_CODES["StartIncarnation"], stream_uuid(own)
        row = await self.connection.fetchrow(SQL["stream_end"], self.partition, *key)
        return Slot(None, row["version"], row["hash"], row["position"]) if row else EMPTY

    async def events(self, positions: Sequence[int]) -> dict[int, Recorded]:
        rows = await self.connection.fetch(SQL["events_by_position"], self.partition, positions)
        events = {}
        for row in rows:
            body = load_event(row["body"])
            events[row["position"]] = Recorded(
                row["position"], body["type"], body["data"], body["incarnation"]
            )
        return events

    async def refunded(self, reservations: Iterable[str]) -> dict[tuple[str, str], Refunded]:
        """What went back of these charges, by account and reservation."""
        ids = [bare(res) for res in reservations]
        rows = await self.connection.fetch(SQL["refunded"], ids)
        return {(f"acct_{row[1].hex}", f"req_{row[0].hex}"): Refunded(*row[2:5]) for row in rows}

    async def fees_given_back(self, reservations: Iterable[str]) -> dict[tuple[str, str], Data]:
        """The fees of these that were given back at any time, by account and reservation."""
        ids = [bare(res) for res in reservations]
        rows = await self.connection.fetch(SQL["fees_given_back"], ids)
        names = ("currency", "minor", "schedule")
        return {
            (f"acct_{row[0].hex}", f"req_{row[1].hex}"): dict(zip(names, row[2:5], strict=True))
            for row in rows
        }

    async def lots_by_number(self, named: Sequence[tuple[str, int]]) -> dict[str, dict[int, Lot]]:
        accounts = [bare(account_id) for account_id, _ in named]
        return _lots(
            await self.connection.fetch(SQL["lots_by_number"], accounts, [no for _, no in named])
        )

    async def lots_by_payment(
        self, accounts: Iterable[str], payments: Iterable[str], causes: Iterable[str]
    ) -> dict[str, dict[int, Lot]]:
        """All lots of the accounts' payments that are named, or that these causes touched."""
        ids = [bare(account_id) for account_id in accounts]
        rows = await self.connection.fetch(
            SQL["lots_by_payment"], ids, list(payments), list(causes)
        )
        return _lots(rows)

    async def append(self, columns: Columns) -> None:
        """One statement, one fsync: all of the batch or nothing of it."""
        if columns.is_one:
            await self._append_one.fetch(self.partition, *columns.one())
            return
        statement = self._append_rare if columns.is_rare else self._append
        await statement.fetch(self.partition, *columns.arguments())

    async def still_leads(self) -> None:
        """Succeeds only while this connection, and so the lock, lives."""
        await self.connection.fetchval("select 1")

    async def make_room(self, up_to: int) -> None:
        """Create the event partitions (of the table) up to a position, ahead of need."""
        await self.connection.execute("select ledger.make_event_partitions($1)", up_to)


def _lots(rows: Iterable[asyncpg.Record]) -> dict[str, dict[int, Lot]]:
    lots: dict[str, dict[int, Lot]] = defaultdict(dict)
    for row in rows:
        lots[f"acct_{row['account_id'].hex}"][row["grant_no"]] = lot_of(row)
    return lots
