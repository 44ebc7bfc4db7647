"""What the read side tells: one function per query, from rows to the answer's data."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from libs.events import list_queries as lists
from libs.events import queries as q
from libs.events.codec import load_event
from libs.events.commands import KIND_CODES
from libs.events.events import TYPE_NAMES
from libs.events.ids import caller_bytes, parse_id, partition_of
from libs.events.query_base import Question
from libs.events.times import from_text, to_text
from services.ledger.answering import LOOK_AGAIN_S, SQL, QueryError, Told
from services.ledger.incarnations import incarnations
from services.ledger.lists import Lists
from services.ledger.projections import entries as entry_projection
from services.ledger.projections import requests as request_projection
from services.ledger.rows import (
    catalogue,
    entry,
    fitting,
    id_text,
    receipt,
    recharge_policy,
    time_text,
)

__all__ = ["Queries", "QueryError", "Told"]


class Queries(Lists):
    """Answers questions about the partitions of one installation."""

    async def tell(self, partition: int, question: Question) -> Told:
        """Answer a question. Raises QueryError, or asyncpg's errors when Postgres is away."""
        account_id = getattr(question, "account_id", None)
        if partition >= self._partitions or (
            account_id is not None and partition_of(account_id, self._partitions) != partition
        ):
            raise QueryError("wrong_partition", f"partition {partition} cannot answer this")
        return await ANSWERS[type(question)](self, partition, question)

    async def installation(self, p: int, _question: q.InstallationQuestion) -> Told:
        row = await self._row("unknown_installation", "installation", p)
        now, first = self._clock.now(), row["incarnation"]
        current = first
        if row["last_body"] is not None:
            last = load_event(row["last_body"])
            # The ledger's time never runs backwards: it is at least that of the last event.
            now = max(now, from_text(last["occurred_at"]))
            current = last["incarnation"]
        lives = await incarnations(self._pool, p, first, current)
        data = {
            "partitions": row["partitions"],
            "incarnation": current,
            "incarnations": [{"incarnation": n, "first_position": at} for n, at in lives],
            "last_position": row["log_end"],
            "ledger_now": to_text(now),
        }
        return Told(data, row["log_end"])

    async def key_by_hash(self, p: int, question: q.KeyByHashQuestion) -> Told:
        row = await self._row("unknown_key", "key_by_hash", p, bytes.fromhex(question.hash))
        data = {
            "key_id": id_text("key", row["key_id"]),
            "account_id": id_text("acct", row["account_id"]),
            "purpose": row["purpose"],
            "allowed": row["allowed"],
            "unit": row["unit"],
            "plan": row["plan"],
            "key_status": row["key_status"],
            "account_status": row["account_status"],
            "expires_at": time_text(row["expires_at"]),
        }
        return Told(data, row["log_end"])

    async def balance(self, p: int, question: q.BalanceQuestion) -> Told:
        account, at_least = parse_id(question.account_id, "acct"), question.min_position or 0
        deadline = self._clock.monotonic() + self._wait_s
        row = await self._row("unknown_account", "account", p, account)
        while row["log_end"] < at_least and self._clock.monotonic() < deadline:
            await asyncio.sleep(LOOK_AGAIN_S)
            row = await self._row("unknown_account", "account", p, account)
        data = {
            "unit": row["unit"],
            "plan": row["plan"],
            "available": str(row["available"]),
            "reserved": str(row["reserved"]),
            "total": str(row["available"] + row["reserved"]),
            "status": row["status"],
            "armed": row["armed"],
            "freezes": orjson.loads(row["state"])["freezes"],
        }
        return Told(data, row["log_end"])

    async def entries(self, p: int, question: q.EntriesQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        log_end, as_of, _ = await self._caught_up(p, account, entry_projection.NAME)
        after = [int(part) for part in (question.after or "0:0").split(":")]
        if question.after is None:
            after = [0, -1]
        rows = await self._pool.fetch(SQL["entries"], account, *after, as_of, question.limit + 1)
        page = fitting(entry(row) for row in rows[: question.limit])
        more = len(page) < len(rows)
        last = page[-1] if more else None
        cursor = f"{last['position']}:{last['line']}" if last else None
        return Told({"entries": page, "next": cursor}, log_end, as_of)

    async def request(self, p: int, question: q.RequestQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        log_end, as_of, late = await self._caught_up(p, account, request_projection.NAME)
        res = parse_id(question.res, "req")
        row = await self._pool.fetchrow(SQL["request"], res, account)
        if row is None and late:
            # It may be among those that were not projected yet, or not made anew yet.
            raise QueryError("unavailable", f"receipts have come to {as_of} of {log_end}")
        if row is None:
            raise QueryError("unknown_request", "no such request of this account")
        return Told(receipt(row), log_end, as_of)

    async def events(self, p: int, question: q.EventsQuestion) -> Told:
        log_end = await self._log_end(p)
        rows = await self._pool.fetch(SQL["events"], p, question.from_, question.limit)
        page = fitting(
            {
                "position": row["position"],
                "type": TYPE_NAMES.get(row["type"], f"unknown_{row['type']}"),
                "body": row["body"].decode(errors="replace"),
            }
            for row in rows
        )
        return Told({"events": page}, log_end)

    async def recharge(self, p: int, question: q.RechargeQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        row = await self._row("unknown_account", "account", p, account)
        state = orjson.loads(row["state"])["recharge"]
        data: dict[str, Any] = {
            "policy": recharge_policy(state) if state else None,
            "open_attempt": None,
            "failures_in_row": state["failures_in_row"] if state else 0,
            "next_at": state["next_at"] if state else None,
            "suspended": state["suspended"] if state else False,
            "armed": row["armed"],
        }
        if state and state["attempt"]:
            data["open_attempt"] = await self._open_attempt(p, account, state["attempt"])
        return Told(data, row["log_end"])

    async def _open_attempt(
        self, p: int, account: UUID, attempt: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The price stands in the event alone: the ledger admits credits, not money."""
        caller = UUID(bytes=caller_bytes(attempt["attempt_id"]))
        kind = KIND_CODES["StartRecharge"]
        rows = await self._pool.fetch(SQL["command_events"], caller, kind, account, p)
        bodies = [load_event(row["body"]) for row in rows]
        started = next(body for body in bodies if body["type"] == "RechargeStarted")
        return {
            "attempt_id": attempt["attempt_id"],
            "credits": str(attempt["credits"]),
            "price": started["data"]["price"],
            "started_at": attempt["started_at"],
        }

    async def catalogues(self, p: int, _question: q.CataloguesQuestion) -> Told:
        log_end = await self._pool.fetchval(SQL["log_end"], p) or 0
        now = self._clock.now()
        rows = await self._pool.fetch(SQL["catalogues"], p)
        return Told({"catalogues": fitting(catalogue(row, now) for row in rows)}, log_end)

    async def catalogue(self, p: int, question: q.CatalogueQuestion) -> Told:
        row = await self._row("unknown_catalogue", "catalogue", p, question.hash)
        return Told({"hash": question.hash, "text": row["text"]}, row["log_end"] or 0)


Answer = Callable[[Queries, int, Any], Awaitable[Told]]
ANSWERS: Mapping[type[Question], Answer] = {
    q.InstallationQuestion: Queries.installation,
    q.KeyByHashQuestion: Queries.key_by_hash,
    q.BalanceQuestion: Queries.balance,
    q.EntriesQuestion: Queries.entries,
    q.RequestQuestion: Queries.request,
    q.EventsQuestion: Queries.events,
    q.RechargeQuestion: Queries.recharge,
    lists.RequestsQuestion: Queries.requests,
    lists.AccountsQuestion: Queries.accounts,
    lists.LimitsQuestion: Queries.limits,
    lists.ReservationsQuestion: Queries.reservations,
    lists.KeysQuestion: Queries.keys,
    lists.GrantsQuestion: Queries.grants,
    lists.UsageQuestion: Queries.usage,
    lists.FeesQuestion: Queries.fees,
    q.CataloguesQuestion: Queries.catalogues,
    q.CatalogueQuestion: Queries.catalogue,
}
