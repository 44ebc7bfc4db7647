"""Writes a partition's log by hand: any event of the catalogue, chained and hashed, and rows.

It knows nothing of the writer, so read-side tests do not inherit its mistakes; balances come from
simple sums here. One grant at a time is enough for most stories: `allocate` takes the oldest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.events.chain import GENESIS, body_hash
from libs.events.codec import canonical
from libs.events.commands import KIND_CODES
from libs.events.events import EVENTS, TYPE_CODES
from libs.events.ids import caller_bytes, new_id, parse_id, partition_of, stream_uuid
from libs.events.times import from_text, to_text
from libs.events.upcasters import NEWEST
from tests.support.log_rows import (
    INSERT_COMMAND,
    INSERT_EVENT,
    INSERT_FEE,
    INSERT_HOLD,
    INSERT_KEY,
    UPSERT_ACCOUNT,
    charged,
    split,
)
from tests.support.lot_rows import LotRows

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CATALOGUE = "c" * 64
KINDS = {
    "AccountOpened": "OpenAccount", "AccountFrozen": "FreezeAccount", "KeyIssued": "IssueKey",
    "AccountUnfrozen": "UnfreezeAccount", "AccountClosed": "CloseAccount",
    "KeyRevoked": "RevokeKey", "CreditsGranted": "GrantCredits", "CreditsReserved": "Reserve",
    "ReservationExtended": "Extend", "CreditsCharged": "Settle", "CreditsReleased": "Release",
    "ReservationExpired": "ExpireReservation", "CreditsRefunded": "Refund",
    "CreditsExpired": "ExpireGrant", "CreditsClawedBack": "Clawback",
    "ClawbackReversed": "ReverseClawback", "RechargeStarted": "StartRecharge",
}  # fmt: skip
"""The command that writes an event of this type."""
BY_RESERVATION = {"CreditsReserved", "CreditsCharged", "CreditsReleased"}


@dataclass
class Grant:
    no: int
    available: int
    reserved: int = 0
    charged: int = 0
    source: str = "purchase"
    expires_at: str | None = None


@dataclass
class Story:
    """One account as the builder knows it."""

    account_id: str
    unit: str = "USD"
    available: int = 0
    reserved: int = 0
    version: int = 0
    position: int = 0
    head: str = GENESIS
    status: str = "open"
    freezes: list[str] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    opened: bool = False

    def allocate(self, amount: int) -> list[list[Any]]:
        taken = []
        for grant in self.grants:
            part = min(grant.available, amount)
            if part:
                taken.append([grant.no, str(part)])
                amount -= part
        assert amount == 0, "the story spends more than it has"
        return taken


def account_in(partition: int, partitions: int = 3) -> str:
    """A new account id that belongs to a partition."""
    while True:
        account_id = new_id("acct")
        if partition_of(account_id, partitions) == partition:
            return account_id


@dataclass
class LogBuilder:
    partition: int = 0
    at: datetime = START
    position: int = 0
    stories: dict[str, Story] = field(default_factory=dict)
    holds: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    commands: list[tuple[Any, ...]] = field(default_factory=list)
    fees: list[tuple[Any, ...]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    lots: LotRows = field(default_factory=LotRows)
    form: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """Makes the body that is stored of one in its newest form."""

    def event(self, kind: str, account_id: str, data: dict[str, Any], **envelope: Any) -> dict:
        """Append one event; `available` and `reserved` are added to money events."""
        story = self.stories.setdefault(account_id, Story(account_id))
        self.position += 1
        self.at += timedelta(milliseconds=1)
        story.version += 1
        story.position = self.position
        if "available" in EVENTS[kind].model_fields["data"].annotation.model_fields:
            data = {**data, "available": str(story.available), "reserved": str(story.reserved)}
        body = {
            "type": kind,
            "type_version": NEWEST[kind],
            "incarnation": 1,
            "partition": self.partition,
            "position": self.position,
            "account_id": account_id,
            "version": story.version,
            "occurred_at": to_text(self.at),
            "command_id": data["res"] if kind in BY_RESERVATION else new_id("req"),
            "correlation_id": "test",
            "causation": None,
            "traceparent": None,
            "prev": story.head,
            "data": data,
        } | envelope
        raw = canonical(self.form(body))
        digest = body_hash(raw)
        story.head = digest.hex()
        stream = stream_uuid(account_id)
        row = (self.partition, self.position, stream, story.version, TYPE_CODES[kind], raw, digest)
        self.rows.append(row)
        self.lots.follow(body)
        caller = UUID(bytes=caller_bytes(body["command_id"]))
        self.commands.append((caller, KIND_CODES[KINDS[kind]], stream, self.position))
        for name, sign in (("fee", 1), ("fee_reversed", -1)):
            if fee := data.get(name):
                paid = (fee["currency"], sign * fee["minor"], fee["schedule"])
                reservation = parse_id(data["res"])
                self.fees.append((self.partition, self.position, stream, reservation, *paid))
        return body

    def account(self, unit: str = "USD", account_id: str | None = None) -> str:
        account_id = account_id or account_in(self.partition)
        story = self.stories.setdefault(account_id, Story(account_id, unit))
        story.opened = True
        data = {"unit": unit, "plan": "payg", "external_id_hash": None, "catalogue": CATALOGUE}
        self.event("AccountOpened", account_id, data)
        return account_id

    def key(self, account_id: str) -> str:
        key_id = new_id("key")
        data = {
            "key_id": key_id, "lineage": key_id, "secret_hash": key_id[4:] * 2,
            "purpose": "inference", "prefix": "fb_0_abcd", "allowed": ["swift-1"], "cap_total": None,
            "cap_day": None, "cap_month": None, "expires_at": None, "rotates": None,
            "old_expires_at": None, "note_id": None,
        }  # fmt: skip
        body = self.event("KeyIssued", account_id, data)
        self.keys[key_id] = data | {"account_id": account_id, "position": body["position"]}
        return key_id

    def revoke(self, key_id: str) -> dict:
        self.keys[key_id]["revoked"] = True
        data = {"key_id": key_id, "reason_code": "lost"}
        return self.event("KeyRevoked", self.keys[key_id]["account_id"], data)

    def freeze(self, account_id: str, reason: str = "manual") -> dict:
        story = self.stories[account_id]
        story.freezes.append(reason)
        story.status = "frozen"
        return self.event("AccountFrozen", account_id, {"reason": reason, "note_id": None})

    def grant(self, account_id: str, amount: int, source: str = "purchase", **given: Any) -> int:
        story = self.stories[account_id]
        no = len(story.grants) + 1
        expires_at = given.get("expires_at")
        story.grants.append(Grant(no, amount, source=source, expires_at=expires_at))
        story.available += amount
        data = {
            "grant_id": new_id("grant"), "grant_no": no, "source": source, "amount": str(amount),
            "priority": 0, "expires_at": None, "paid": None, "payment": None, "pack": None,
            "attempt_id": None, "catalogue": None, "reason_code": None, "note_id": None, **given,
        }  # fmt: skip
        self.event("CreditsGranted", account_id, data)
        return no

    def reserve(self, account_id: str, key_id: str, amount: int, **given: Any) -> str:
        story, res = self.stories[account_id], given.pop("res", None) or new_id("req")
        taken = story.allocate(amount)
        self._shift(story, taken, available=-1, reserved=1)
        data = {
            "res": res, "key_id": key_id, "operation": "swift-1", "surface": "openai.chat",
            "amount": str(amount), "from": taken,
            "expires_at": to_text(self.at + timedelta(minutes=1)), "at_deadline": "release",
            "catalogue": CATALOGUE, "fee": None, "attached_cost_ceiling": None,
            "windows": {"day": "2026-11-20", "month": "2026-11"}, "tags": {}, **given,
        }  # fmt: skip
        body = self.event("CreditsReserved", account_id, data)
        self.holds[res] = data | {"account_id": account_id, "position": body["position"]}
        return res

    def extend(self, res: str, added: int) -> dict:
        hold = self.holds[res]
        story = self.stories[hold["account_id"]]
        taken = story.allocate(added)
        self._shift(story, taken, available=-1, reserved=1)
        hold["amount"] = str(int(hold["amount"]) + added)
        hold["from"] = hold["from"] + taken
        data = {
            "res": res, "total": hold["amount"], "added": str(added), "from": taken,
            "expires_at": hold["expires_at"], "used_so_far": "0",
        }  # fmt: skip
        return self.event("ReservationExtended", hold["account_id"], data)

    def settle(self, res: str, charge: int, **given: Any) -> dict:
        """Charge; above the hold it takes what is available, the rest is `loss`."""
        hold = self.holds.pop(res)
        self.closed.append(res)
        story, amount = self.stories[hold["account_id"]], int(hold["amount"])
        used, returned = split(hold["from"], min(charge, amount))
        self._shift(story, used, reserved=-1, charged=1)
        self._shift(story, returned, reserved=-1, available=1)
        extra = min(max(0, charge - amount), story.available)
        beyond = story.allocate(extra)
        self._shift(story, beyond, available=-1, charged=1)
        loss = max(0, charge - amount) - extra
        return self.event(
            "CreditsCharged",
            hold["account_id"],
            charged(res, amount, charge - loss, used + beyond, returned, extra, loss) | given,
        )

    def settle_late(self, account_id: str, res: str, charge: int) -> dict:
        story = self.stories[account_id]
        taken = story.allocate(charge)
        self._shift(story, taken, available=-1, charged=1)
        return self.event(
            "CreditsCharged", account_id, charged(res, 0, charge, taken, [], charge, 0)
        )

    def release(self, res: str) -> dict:
        hold = self.holds.pop(res)
        self.closed.append(res)
        self._shift(self.stories[hold["account_id"]], hold["from"], available=1, reserved=-1)
        data = {
            "res": res, "amount": hold["amount"], "returned": hold["from"],
            "reason_code": "provider_failed", "fee_reversed": hold["fee"], "route": "north/swift-1",
            "attempts": [{"upstream": "north", "status": 503, "reason": None}], "status": 503,
        }  # fmt: skip
        return self.event("CreditsReleased", hold["account_id"], data)

    def expire(self, res: str, charge: int = 0, loss: int = 0) -> dict:
        hold = self.holds.pop(res)
        self.closed.append(res)
        story = self.stories[hold["account_id"]]
        used, returned = split(hold["from"], charge)
        self._shift(story, used, reserved=-1, charged=1)
        self._shift(story, returned, reserved=-1, available=1)
        data = {
            "res": res, "amount": hold["amount"],
            "at_deadline": "charge" if charge else "release", "charge": str(charge),
            "margin": "0", "taken": used, "returned": returned, "loss": str(loss),
            "fee_reversed": None,
        }  # fmt: skip
        return self.event("ReservationExpired", hold["account_id"], data)

    def refund(self, account_id: str, res: str, amount: int, grant_no: int = 1) -> dict:
        story = self.stories[account_id]
        self._shift(story, [[grant_no, str(amount)]], available=1)
        data = {
            "res": res, "refund_no": 1, "amount": str(amount), "margin": "0", "whole": False,
            "to": [[grant_no, str(amount)]], "child": None, "fee_reversed": None,
            "reason_code": "goodwill", "note_id": None,
        }  # fmt: skip
        return self.event("CreditsRefunded", account_id, data)

    def expire_grant(self, account_id: str, grant_no: int) -> dict:
        story = self.stories[account_id]
        amount = story.grants[grant_no - 1].available
        self._shift(story, [[grant_no, str(amount)]], available=-1)
        data = {"grant_no": grant_no, "amount": str(amount), "cause": "shelf"}
        return self.event("CreditsExpired", account_id, data)

    def claw_back(self, account_id: str, grant_no: int, amount: int, cause: str, lost: int = 0):
        story = self.stories[account_id]
        self._shift(story, [[grant_no, str(amount)]], available=-1)
        data = {
            "cause": cause, "payment": "pi_1", "grant_no": grant_no, "target": str(amount + lost),
            "amount": str(amount), "due": "0", "shortfall": str(lost),
        }  # fmt: skip
        return self.event("CreditsClawedBack", account_id, data)

    def reverse(self, account_id: str, grant_no: int, amount: int, cause: str, lost: int = 0):
        story = self.stories[account_id]
        self._shift(story, [[grant_no, str(amount)]], available=1)
        data = {
            "cause": cause, "payment": "pi_1", "grant_no": grant_no, "amount": str(amount),
            "due_cancelled": "0", "shortfall_cancelled": str(lost),
        }  # fmt: skip
        return self.event("ClawbackReversed", account_id, data)

    def _shift(
        self, story: Story, parts: list, available: int = 0, reserved: int = 0, charged: int = 0
    ) -> None:
        for no, part in parts:
            grant, amount = story.grants[no - 1], int(part)
            grant.charged += charged * amount
            grant.available += available * amount
            grant.reserved += reserved * amount
            story.available += available * amount
            story.reserved += reserved * amount

    async def write(self, connection: asyncpg.Connection) -> None:
        """Write what is new, as role farebox_ledger: events, commands, and all state rows."""
        async with connection.transaction():
            await connection.executemany(INSERT_EVENT, self.rows)
            await connection.executemany(INSERT_COMMAND, self.commands)
            await connection.executemany(INSERT_FEE, self.fees)
            for story in self.stories.values():
                if story.opened:
                    await connection.execute(UPSERT_ACCOUNT, *self._account_row(story))
            for res in self.closed:
                await connection.execute(
                    "delete from ledger.reservations where reservation_id = $1", parse_id(res)
                )
            for res, hold in self.holds.items():
                await connection.execute(INSERT_HOLD, *self._hold_row(res, hold))
            for key_id, data in self.keys.items():
                await connection.execute(INSERT_KEY, *self._key_row(key_id, data))
            await self.lots.write(connection)
        self.rows.clear()
        self.commands.clear()
        self.fees.clear()
        self.closed.clear()

    def _account_row(self, story: Story) -> tuple[Any, ...]:
        live = [g for g in story.grants if g.available or g.reserved]
        expiries = [g.expires_at for g in live if g.available and g.expires_at]
        state = {
            "freezes": story.freezes,
            "grants": [
                [g.no, g.available, g.reserved, 0, g.expires_at, g.source, None] for g in live
            ],
            "next_grant_no": len(story.grants) + 1,
            "catalogue": CATALOGUE,
            "recharge": None,
            "limits": None,
            "counters": {},
        }
        return (
            parse_id(story.account_id), self.partition, story.unit, "payg", story.status,
            story.available, story.reserved, story.version, story.position,
            bytes.fromhex(story.head), from_text(min(expiries)) if expiries else None,
            orjson.dumps(state),
        )  # fmt: skip

    def _hold_row(self, res: str, hold: dict[str, Any]) -> tuple[Any, ...]:
        state = [
            res, hold["account_id"], hold["key_id"], hold["operation"], int(hold["amount"]),
            [[no, int(part)] for no, part in hold["from"]], hold["expires_at"],
            hold["at_deadline"], hold["catalogue"], 0,
        ]  # fmt: skip
        return (
            parse_id(res), self.partition, parse_id(hold["account_id"]), hold["position"],
            from_text(hold["expires_at"]), int(hold["amount"]), orjson.dumps(state),
        )  # fmt: skip

    def _key_row(self, key_id: str, data: dict[str, Any]) -> tuple[Any, ...]:
        return (
            parse_id(key_id), self.partition, parse_id(data["account_id"]),
            bytes.fromhex(data["secret_hash"]), data["purpose"], data["prefix"], data["allowed"],
            None, parse_id(data["lineage"]), "revoked" if data.get("revoked") else "active",
            data["position"],
        )  # fmt: skip
