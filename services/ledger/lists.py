"""Answers that are lists, page by page; `next` of a page is where the following one begins."""

from datetime import date
from typing import Any
from uuid import UUID

import orjson

from libs.events import list_queries as q
from libs.events.ids import id_of, parse_id
from services.ledger import rows as shaping
from services.ledger.answering import SQL, Answering, Told
from services.ledger.domain.derived import derived_id
from services.ledger.projections import fees, grants, requests, usage
from services.ledger.rows import Row, fitting, id_text

DIMENSIONS = ("day", "model", "key", "operation")
NOWHERE = UUID(int=0)


class Lists(Answering):
    """One method for each list."""

    async def accounts(self, p: int, question: q.AccountsQuestion) -> Told:
        log_end = await self._log_end(p)
        after = parse_id(question.after, "acct") if question.after else NOWHERE
        rows = await self._pool.fetch(SQL["accounts"], p, after, question.limit + 1)
        names = {row["account_id"]: external_id_note(row["account_id"]) for row in rows}
        notes = await self._notes(names.values())
        page = fitting(
            shaping.account(row, notes.get(names[row["account_id"]]))
            for row in rows[: question.limit]
        )
        following = page[-1]["account_id"] if len(page) < len(rows) else None
        return Told({"accounts": page, "next": following}, log_end)

    async def limits(self, p: int, question: q.LimitsQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        row = await self._row("unknown_account", "account", p, account)
        state = orjson.loads(row["state"])
        day, month, alerts = state.get("limits") or (None, None, ())
        spent = shaping.spent(state, "", self._clock.now()) if state.get("limits") else {}
        data = {
            "day": shaping.digits(day),
            "month": shaping.digits(month),
            "alerts": list(alerts),
            "spent_day": spent.get("spent_day"),
            "spent_month": spent.get("spent_month"),
        }
        return Told(data, row["log_end"])

    async def reservations(self, p: int, question: q.ReservationsQuestion) -> Told:
        log_end = await self._log_end(p)
        after = parse_id(question.after, "req") if question.after else NOWHERE
        account = parse_id(question.account_id, "acct") if question.account_id else None
        rows = await self._pool.fetch(SQL["reservations"], p, after, account, question.limit + 1)
        page = fitting(shaping.reservation(row) for row in rows[: question.limit])
        following = page[-1]["reservation_id"] if len(page) < len(rows) else None
        return Told({"reservations": page, "next": following}, log_end)

    async def keys(self, p: int, question: q.KeysQuestion) -> Told:
        """Active keys first, then the revoked ones, the latest first."""
        account = parse_id(question.account_id, "acct")
        standing = await self._row("unknown_account", "account", p, account)
        status, position = (question.after or "active:9007199254740992").split(":")
        only = parse_id(question.key_id, "key") if question.key_id else None
        rows = await self._pool.fetch(
            SQL["keys"], account, p, status, int(position), only, question.limit + 1
        )
        names = {row["key_id"]: key_name_note(account, row["key_id"]) for row in rows}
        notes = await self._notes(names.values())
        state, now = orjson.loads(standing["state"]), self._clock.now()
        page = fitting(
            shaping.key(row, state, now, notes.get(names[row["key_id"]]))
            for row in rows[: question.limit]
        )
        last = page[-1] if len(page) < len(rows) else None
        following = f"{last['status']}:{last['position']}" if last else None
        return Told({"keys": page, "next": following}, standing["log_end"])

    async def grants(self, p: int, question: q.GrantsQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        log_end, as_of, _ = await self._caught_up(p, account, grants.NAME)
        after = question.after or 0
        rows = await self._pool.fetch(SQL["grants"], account, after, question.limit + 1)
        page = fitting(shaping.grant(row) for row in rows[: question.limit])
        following = page[-1]["grant_no"] if len(page) < len(rows) else None
        return Told({"grants": page, "next": following}, log_end, as_of)

    async def requests(self, p: int, question: q.RequestsQuestion) -> Told:
        """The latest first: by where in the log each was opened."""
        account = parse_id(question.account_id, "acct")
        log_end, as_of, _ = await self._caught_up(p, account, requests.NAME)
        rows = await self._pool.fetch(
            SQL["requests"],
            account,
            question.after,
            question.from_,
            question.to,
            question.model,
            parse_id(question.key_id, "key") if question.key_id else None,
            question.operation,
            question.state,
            _tags(question.tags),
            sorted(usage.WITHOUT_MODEL),
            question.limit + 1,
        )
        page = fitting(shaping.receipt(row) for row in rows[: question.limit])
        following = page[-1]["opened_position"] if len(page) < len(rows) else None
        return Told({"requests": page, "next": following}, log_end, as_of)

    async def usage(self, p: int, question: q.UsageQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        source = requests.NAME if question.tags else usage.NAME
        log_end, as_of, _ = await self._caught_up(p, account, source)
        rows = await self._pool.fetch(
            SQL["usage"],
            account,
            date.fromisoformat(question.from_),
            date.fromisoformat(question.to),
            *(name in question.group for name in DIMENSIONS),
            *_after(question.after),
            question.limit + 1,
            _tags(question.tags),
            sorted(usage.WITHOUT_MODEL),
        )
        page = fitting(shaping.use(row) for row in rows[: question.limit])
        following = None
        if len(page) < len(rows):
            following = {name: page[-1][name] for name in q.UsageKey.model_fields}
        return Told({"rows": page, "next": following}, log_end, as_of)

    async def fees(self, p: int, question: q.FeesQuestion) -> Told:
        account = parse_id(question.account_id, "acct")
        log_end, as_of, _ = await self._caught_up(p, account, fees.NAME)
        after, most = question.after or 0, question.limit
        rows = await self._pool.fetch(SQL["fees"], account, after, as_of, most + 1)
        page = fitting(shaping.fee(row) for row in rows[:most])
        totals = await self._pool.fetch(SQL["fee_totals"], account, as_of)
        following = page[-1]["position"] if len(page) < len(rows) else None
        data = {"fees": page, "totals": [dict(row) for row in totals], "next": following}
        return Told(data, log_end, as_of)

    async def _notes(self, ids: Any) -> dict[UUID, str]:
        """Texts that stand beside the log, of those that were not erased."""
        rows: list[Row] = await self._pool.fetch(SQL["notes"], list(ids))
        return {row["note_id"]: row["text"] for row in rows}


def external_id_note(account: UUID) -> UUID:
    """Where an account's external_id stands: an account is opened by a command of its own id."""
    name = id_of("acct", account)
    return parse_id(derived_id("note", f"{name}:OpenAccount:{name}"), "note")


def key_name_note(account: UUID, key: UUID) -> UUID:
    """Where a key's name stands: a key is issued by a command of its own id."""
    name = f"{id_of('acct', account)}:IssueKey:{id_text('key', key)}"
    return parse_id(derived_id("note", name), "note")


def _tags(tags: dict[str, str] | None) -> str | None:
    """Tags as the JSON that rows are to contain."""
    return orjson.dumps(tags).decode() if tags else None


def _after(key: q.UsageKey | None) -> tuple[date | None, str, UUID, str]:
    """The columns of the last row of the page before; what is not grouped by has one value."""
    if key is None:
        return None, "", NOWHERE, ""
    return (
        date.fromisoformat(key.day or "0001-01-01"),
        key.model or "",
        parse_id(key.key_id, "key") if key.key_id else NOWHERE,
        key.operation or "",
    )
