from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import orjson

from libs.events.commands import PublishCatalogueData
from services.ledger.cold import LotChanges
from services.ledger.domain.catalogues import Terms
from services.ledger.domain.notes import Note
from services.ledger.domain.state import Account, Data, Event, Key, Lot, Refunded, Reservation
from services.ledger.snapshots import account_state, reservation_state

EventRow = tuple[Any, ...]
"""An event as it is appended: position, account, version, type code, body, hash."""


class Columns:
    """The rows of one batch, and from them the arguments of append.sql, column by column."""

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.commands: list[tuple[Any, ...]] = []
        self.opened: list[tuple[Any, ...]] = []
        self.closed: list[str] = []
        self.accounts: list[tuple[Any, ...]] = []
        self.issued: list[tuple[Any, ...]] = []
        self.changed_keys: list[tuple[Any, ...]] = []
        self.notes: list[tuple[Any, ...]] = []
        self.extended: list[tuple[Any, ...]] = []
        self.fees: list[tuple[Any, ...]] = []
        self.refunded: dict[str, tuple[Any, ...]] = {}
        self.granted: list[tuple[Any, ...]] = []
        self.changed_lots: list[tuple[Any, ...]] = []
        self.published: dict[str, tuple[Any, ...]] = {}
        self.withdrawn: dict[str, tuple[Any, ...]] = {}
        self.catalogues: dict[str, str] = {}
        self.standing_changed = False

    @property
    def is_rare(self) -> bool:
        """Whether more changes than a plain hold and its settlement do."""
        return bool(
            self.standing_changed
            or self.issued
            or self.changed_keys
            or self.notes
            or self.extended
            or self.fees
            or self.refunded
            or self.granted
            or self.changed_lots
            or self.published
        )

    def open(self, reservation: Reservation, position: int, *, as_opened: bool) -> None:
        """A new hold; `as_opened`: as its event says, not extended since."""
        # All that the event does not say is whether the account had limits then.
        plain = as_opened and not reservation.limited
        self.opened.append(
            (
                bare(reservation.res),
                bare(reservation.account_id),
                position,
                reservation.expires_at,
                reservation.amount,
                b"" if plain else reservation_state(reservation),
            )
        )

    def extend(self, reservation: Reservation) -> None:
        """A hold of an earlier batch that was extended in this one."""
        self.extended.append(
            (
                bare(reservation.res),
                instant(reservation.expires_at),
                reservation.amount,
                reservation_state(reservation),
            )
        )

    def fee(self, event: Event, fee: Data, position: int, *, reversed_: bool) -> None:
        """The fee of an invocation, or its reversal: its own ledger, never the balance."""
        minor = -fee["minor"] if reversed_ else fee["minor"]
        self.fees.append(
            (
                position,
                bare(event.account_id),
                bare(event.data["res"]),
                fee["currency"],
                minor,
                fee["schedule"],
            )
        )

    def refund(self, res: str, account_id: str, refunded: Refunded) -> None:
        """What went back of a charge, in all."""
        self.refunded[res] = (bare(res), bare(account_id), *refunded)

    def publish(self, data: PublishCatalogueData, terms: Terms, position: int) -> None:
        """A catalogue that became known, those that it ends, and its text if it came with it."""
        effective_from = instant(terms[data.hash].effective_from)
        self.published[data.hash] = (data.hash, position, effective_from, None)
        for name in data.withdraws:
            at = instant(str(terms[name].withdrawn_from))
            if name in self.published:  # an update does not see what its statement inserts
                self.published[name] = (*self.published[name][:3], at)
            else:
                self.withdrawn[name] = (name, at)
        if data.text is not None:
            self.catalogues[data.hash] = data.text

    def lots(self, changes: LotChanges) -> None:
        for (account_id, _), (lot, position) in changes.made.items():
            self.granted.append((bare(account_id), position, *lot_columns(lot)))
        for (account_id, no), change in changes.changed.items():
            causes = orjson.dumps(dict(change.causes)).decode()
            self.changed_lots.append(
                (bare(account_id), no, change.clawed, change.shortfall, causes)
            )

    def account(
        self, account: Account, before: Account | None, version: int, position: int, head: bytes
    ) -> None:
        """The row of an account; `before` is the account as its row says now, if it has one."""
        status = account.status
        if before is None or before.plan != account.plan or before.status != status:
            self.standing_changed = True
        self.accounts.append(
            (
                bare(account.account_id),
                account.unit,
                account.plan,
                status,
                account.available,
                account.reserved,
                version,
                position,
                head,
                account.armed,
                account.next_expiry,
                account_state(account),
            )
        )

    def issue(self, event: Event, key: Key, position: int) -> None:
        """A key made in this batch, in the standing it has at the batch's end."""
        data = event.data
        allowed = data["allowed"]
        self.issued.append(
            (
                bare(data["key_id"]),
                bare(event.account_id),
                bytes.fromhex(data["secret_hash"]),
                data["purpose"],
                data["prefix"],
                orjson.dumps(allowed).decode() if allowed is not None else None,
                key.cap_total,
                key.cap_day,
                key.cap_month,
                instant(key.expires_at) if key.expires_at else None,
                bare(data["lineage"]),
                bare(data["rotates"]) if data["rotates"] else None,
                "revoked" if key.revoked else "active",
                position,
            )
        )

    def change_key(self, key: Key) -> None:
        expires_at = instant(key.expires_at) if key.expires_at else None
        self.changed_keys.append(
            (bare(key.key_id), "revoked" if key.revoked else "active", expires_at)
        )

    def note(self, note: Note, at: datetime) -> None:
        self.notes.append((bare(note.note_id), bare(note.account_id), note.kind, note.text, at))

    @property
    def is_one(self) -> bool:
        """Whether all of it is one plain event of one account, as when one caller asks."""
        few = len(self.events) == len(self.commands) == len(self.accounts) == 1
        return few and len(self.opened) <= 1 and len(self.closed) <= 1 and not self.is_rare

    def one(self) -> list[Any]:
        """$2 onwards of the statement for one."""
        caller, kind, *_, fingerprint = self.commands[0]
        res, _, _, expires_at, amount, state = self.opened[0] if self.opened else (None,) * 6
        available, reserved, _, _, _, armed, next_expiry, account = self.accounts[0][4:]
        return [
            *self.events[0],
            *(caller, kind, fingerprint),
            *(res, expires_at, amount, state),
            self.closed[0] if self.closed else None,
            *(available, reserved, armed, next_expiry, account),
        ]

    def arguments(self) -> list[Any]:
        """$2 onwards of the hot statement, and of the longer one when this batch needs it.

        Columns of the hot statement travel as array literals and joined bytes: asyncpg looks at
        every element of a list twice, which costs several times what is in it.
        """
        positions, accounts, versions, types, bodies, hashes = transposed(self.events, 6)
        callers, kinds, owners, firsts, counts, prints = transposed(self.commands, 6)
        opened, holders, places, deadlines, amounts, states = transposed(self.opened, 6)
        arguments = [
            *(literal(positions), words(accounts), literal(versions), literal(types)),
            *joined(bodies),
            b"".join(hashes),
            *(words(callers), literal(kinds), words(owners), literal(firsts), literal(counts)),
            b"".join(prints),
            *(words(opened), words(holders), literal(places), words(deadlines), literal(amounts)),
            *joined(states),
            words(self.closed),
        ]
        ids, units, plans, statuses, *balances, heads, armed, expiries, states = transposed(
            self.accounts, 12
        )
        arguments += [
            words(ids),
            *(literal(values) for values in balances),
            b"".join(heads),
            literal(armed),
            literal(expiries),
            *joined(states),
        ]
        if self.is_rare:
            arguments += [units, plans, statuses]
            arguments += transposed(self.issued, 14)
            arguments += transposed(self.changed_keys, 3)
            arguments += transposed(self.notes, 5)
            arguments += transposed(self.extended, 4)
            arguments += transposed(self.fees, 6)
            arguments += transposed(list(self.refunded.values()), 5)
            arguments += transposed(self.granted, 11)
            arguments += transposed(self.changed_lots, 5)
            arguments += transposed(list(self.published.values()), 4)
            arguments += transposed(list(self.withdrawn.values()), 2)
            arguments += transposed(list(self.catalogues.items()), 2)
        return arguments


def lot_columns(lot: Lot) -> tuple[Any, ...]:
    """A lot as its row: its number first, its causes as JSON last."""
    expires_at = instant(lot.expires_at) if lot.expires_at else None
    causes = orjson.dumps(dict(lot.causes)).decode()
    return (lot.no, lot.source, lot.priority, expires_at, *lot[4:8], causes)


def transposed(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def literal(values: Iterable[object]) -> str:
    """A column as an array literal of Postgres: of numbers, uuids, flags and times only.

    None of them holds a character that would need quoting.
    """
    return f"{{{','.join(['null' if value is None else str(value) for value in values])}}}"


def words(values: Iterable[str]) -> str:
    """The same of texts, all of which are there."""
    return f"{{{','.join(values)}}}"


def joined(parts: Sequence[bytes]) -> tuple[bytes, str, str]:
    """Bytes of several lengths as one: all of them, where each begins (from 1), and how long."""
    sizes = [len(part) for part in parts]
    ends = accumulate(sizes, initial=1)
    starts = [start for start, _ in zip(ends, sizes, strict=False)]
    return b"".join(parts), literal(starts), literal(sizes)


def bare(identifier: str) -> str:
    """`acct_<hex>` → `<hex>`: the text Postgres reads as a uuid."""
    return identifier[-32:]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
