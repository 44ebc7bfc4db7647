"""Folds the projections anew into temporary tables and compares them with the live ones."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg
import orjson

from libs.runtime.database import Connection
from services.ledger.checks.lots import check_grants
from services.ledger.checks.report import LISTED, Differences
from services.ledger.checks.tables import Columns, rows_of
from services.ledger.projections import entries, fees, grants, requests, usage
from services.ledger.projections.entries import Data
from services.ledger.projections.projector import Projector
from services.ledger.replay import Fold

KEYS: Mapping[str, tuple[str, ...]] = {
    entries.NAME: ("account_id", "position", "line"),
    requests.NAME: ("reservation_id",),
    grants.NAME: ("account_id", "grant_no"),
    usage.NAME: ("account_id", "day", "key_id", "operation", "model"),
    fees.NAME: ("account_id", "position"),
}
PREFIXES = {"account_id": "acct", "reservation_id": "req", "key_id": "key"}

DIFFER = """
select {keys}, to_jsonb(l) as stored, to_jsonb(s) as computed
from (select * from ledger.{table} where partition = $1) l
full join (select * from pg_temp.{table} where partition = $1) s using ({keys})
where l is distinct from s limit {limit}
"""
FOLDING = "set local search_path = ledger; set local work_mem = '64MB';"
POINT_LOOKUPS = """
set local enable_seqscan = {0}; set local enable_hashjoin = {0}; set local enable_mergejoin = {0};
"""
SUMS = """
select account_id, sum(amount)::bigint as amounts,
  coalesce(sum(amount) filter (where type in ('reservation', 'release')), 0)::bigint as holds
from ledger.entries where partition = $1 group by account_id
"""


async def make_shadows(connection: Connection) -> None:
    """Make empty temporary tables that hide the live ones from unqualified names."""
    await connection.execute(FOLDING)
    for table in (*KEYS, "projection_positions"):
        await connection.execute(
            f"create temp table {table} (like ledger.{table} including all) on commit drop"
        )


class Shadow:
    """The projections of one partition, each compared when it has come as far as the live one.

    `tables` are those that are compared; all are folded, for one takes columns from the other.
    """

    def __init__(
        self,
        connection: Connection,
        partition: int,
        differences: Differences,
        tables: Collection[str] = KEYS.keys(),
    ) -> None:
        self.connection = connection
        self.partition = partition
        self.live: dict[str, int] = {}
        self._differences = differences
        self._projector = Projector(connection, partition)
        self._open = set(tables)
        self._sums = entries.NAME in self._open
        self._lots = grants.NAME in self._open
        self._broken = False

    async def begin(self) -> None:
        rows = await self.connection.fetch(
            "select projection, position from ledger.projection_positions where partition = $1",
            self.partition,
        )
        self.live = {**dict.fromkeys(KEYS, 0), **{row[0]: row[1] for row in rows}}
        await self._projector.begin()
        await self._compare_reached()

    async def apply(self, events: Sequence[Data], up_to: int) -> None:
        """Fold more events; what cannot be folded ends the comparison with a difference."""
        stops = {self.live[table] for table in self._open if self.live[table] < up_to}
        for stop in sorted(stops | {up_to}):
            if self._broken or not self._open:
                return
            after = self._projector.position
            await self._fold([e for e in events if after < e["position"] <= stop], stop)
            await self._compare_reached()

    async def _fold(self, events: Sequence[Data], up_to: int) -> None:
        # Runs of events touch rows by key, in tables that the planner believes to be small.
        await self.connection.execute(POINT_LOOKUPS.format("off"))
        try:
            await self._projector.apply(events, up_to)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            asyncpg.PostgresError,
        ) as error:
            self._broken = True
            where = f"{self.partition}:{self._projector.position + 1} to {up_to}"
            reason = f"{type(error).__name__}: {error}"
            self._differences.add("ledger.events", where, "body", "not projectable", reason)
        await self.connection.execute(POINT_LOOKUPS.format("on"))

    async def compare(self, fold: Fold, log_end: int) -> None:
        """What is left to compare at the log's end, and the sums of the entries with the fold."""
        for name in sorted(self._open):
            if self.live[name] > log_end:
                where = f"{name} {self.partition}"
                self._differences.add(
                    "ledger.projection_positions",
                    where,
                    "position",
                    self.live[name],
                    f"≤ {log_end}",
                )
        if self._broken:
            return
        for table in sorted(self._open):
            await self._compare(table)
        if self._sums and self.live[entries.NAME] == log_end:
            await self._add_up(fold)
        if self._lots and self.live[grants.NAME] == log_end:
            await check_grants(self.connection, self.partition, fold, self._differences)

    async def _compare_reached(self) -> None:
        """Live projections stand at different positions while one of them is made anew."""
        if self._broken:
            return
        for table in sorted(self._open):
            if self.live[table] == self._projector.position:
                await self._compare(table)

    async def _compare(self, table: str) -> None:
        """Compare row by row."""
        self._open.discard(table)
        query = DIFFER.format(table=table, keys=", ".join(KEYS[table]), limit=LISTED)
        for row in await self.connection.fetch(query, self.partition):
            self._differ(table, KEYS[table], row)

    def _differ(self, table: str, keys: Sequence[str], row: Columns) -> None:
        name = ":".join(_name(key, row[key]) for key in keys)
        stored, computed = _json(row["stored"]), _json(row["computed"])
        if stored is None or computed is None:
            here = {keys[0]: name}
            columns = {keys[0]: (stored and here[keys[0]], computed and here[keys[0]])}
        else:
            columns = {c: (stored[c], computed[c]) for c in stored if stored[c] != computed[c]}
        for column, (left, right) in columns.items():
            self._differences.add(f"ledger.{table}", name, column, _flat(left), _flat(right))

    async def _add_up(self, fold: Fold) -> None:
        balances = {a.uuid: a for a in fold.accounts.values()}
        async for row in rows_of(self.connection, SUMS, self.partition):
            account = balances.get(row["account_id"])
            if account is None:
                continue  # its lines were reported as rows of nothing
            for column, stored, computed in (
                ("sum of amount", row["amounts"], account.available),
                ("sum of amount of holds", row["holds"], -account.reserved),
            ):
                if stored != computed:
                    name = account.account_id
                    self._differences.add("ledger.entries", name, column, stored, computed)


def _name(key: str, value: Any) -> str:
    return f"{PREFIXES[key]}_{value.hex}" if key in PREFIXES else str(value)


def _json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(orjson.loads(text))


def _flat(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value
