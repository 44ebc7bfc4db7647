"""A stand-in for the ledger's client: the ledger's own rules, no database and no NATS."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.events.codec import decode_command, encode_command
from libs.events.commands import Command, IssueKey, PublishCatalogue, allowed_class
from libs.events.fingerprints import fingerprint
from libs.events.replies import Reply
from libs.events.times import to_text
from libs.runtime.errors import LedgerUnavailable, QueryFailed
from services.ledger.answers import Recorded, accepted, refused
from services.ledger.domain.catalogues import Terms, decide_publish, evolve_published
from services.ledger.domain.state import Accepted, Account, Conflict, Declined, Key, Moment
from tests.support.deciding import Rules
from tests.support.receipts_in_memory import open_of, receipt_of


@dataclass
class LedgerInMemory:
    """Decides, remembers commands and answers the questions about accounts.

    `command_class`: what the sender may send. `away`: nobody answers. `told`: answers to questions
    that need projections, by name.
    """

    command_class: str
    away: bool = False
    rules: Rules = field(default_factory=Rules)
    sent: list[Command] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    catalogues: dict[str, Terms] = field(default_factory=dict)
    _replies: dict[tuple[str, str, str], tuple[bytes, Reply]] = field(default_factory=dict)
    _issued: dict[str, IssueKey] = field(default_factory=dict)

    def ledger_now(self) -> datetime:
        return self.rules.at

    async def send(self, command: Command, *, give_up_s: float) -> Reply:
        assert give_up_s > 0
        if self.away:
            raise LedgerUnavailable("away")
        assert decode_command(encode_command(command)) == command
        assert allowed_class(command, self.command_class), command.kind
        self.sent.append(command)
        identity = (command.caller_id, command.kind, command.account_id)
        if identity in self._replies:
            first, reply = self._replies[identity]
            if first == fingerprint(command):
                return reply
            conflict = Conflict("fingerprint", reply.position)
            return Reply(**refused(conflict, command.account_id, 1))
        return self._decide(command, identity)

    def _publish(self, command: PublishCatalogue, identity: tuple[str, str, str]) -> Reply:
        own = self.catalogues.setdefault(command.account_id, {})
        event = decide_publish(own, command, Moment(self.rules.at, to_text(self.rules.at)))
        if isinstance(event, Declined):
            return Reply(**refused(event, command.account_id, 1))
        after = evolve_published(own, event.data, event.occurred_at)
        self.catalogues[command.account_id] = after
        position = len(after)
        told = [Recorded(position, event.type, event.data)]
        reply = Reply(**accepted(command.kind, command.account_id, 1, told, position))
        self._replies[identity] = (fingerprint(command), reply)
        return reply

    def _published(self, partition: int) -> dict[str, Any]:
        now = to_text(self.rules.at)
        own = self.catalogues.get(f"part_{partition}", {})
        rows = [
            {**term._asdict(), "hash": name, "in_force": term.covers(now), "position": number}
            for number, (name, term) in enumerate(own.items(), start=1)
        ]
        return {"catalogues": rows}

    def _text(self, name: str) -> str:
        for command in self.sent:
            if isinstance(command, PublishCatalogue) and command.data.hash == name:
                return command.data.text or ""
        raise QueryFailed("unknown_catalogue", "no such catalogue")

    def _decide(self, command: Command, identity: tuple[str, str, str]) -> Reply:
        if isinstance(command, PublishCatalogue):
            return self._publish(command, identity)
        before = len(self.rules.events)
        decision = self.rules.run(command)
        if not isinstance(decision, Accepted):
            return Reply(**refused(decision, command.account_id, 1))
        events = [
            Recorded(before + number, event.type, event.data)
            for number, event in enumerate(self.rules.events[before:], start=1)
        ]
        position = events[-1].position
        reply = Reply(**accepted(command.kind, command.account_id, 1, events, position))
        self._replies[identity] = (fingerprint(command), reply)
        if isinstance(command, IssueKey):
            self._issued[command.data.key_id] = command
        return reply

    async def query(
        self,
        name: str,
        data: dict[str, Any],
        *,
        account_id: str | None = None,
        partition: int | None = None,
    ) -> dict[str, Any]:
        self.asked.append((name, data))
        if self.away:
            raise LedgerUnavailable("away")
        position = len(self.rules.events)
        if name in self.told:
            return {"ok": True, "position": position, "as_of_position": 7, "data": self.told[name]}
        if name == "catalogues":
            data = self._published(partition or 0)
            return {"ok": True, "position": position, "as_of_position": None, "data": data}
        if name == "catalogue":
            data = {"hash": data["hash"], "text": self._text(data["hash"])}
            return {"ok": True, "position": position, "as_of_position": None, "data": data}
        if name in ("request", "reservations"):
            assert account_id is not None
            facts = receipt_of if name == "request" else open_of
            data = facts(self.rules, account_id, data)
            return {"ok": True, "position": position, "as_of_position": position, "data": data}
        if name == "key_by_hash":
            data = self._key_by_hash(data["hash"])
            return {"ok": True, "position": position, "as_of_position": None, "data": data}
        assert account_id is not None
        account = self.rules.accounts.get(account_id)
        if account is None:
            raise QueryFailed("unknown_account", "no such account")
        if name == "keys":
            found = self._keys(account, data.get("key_id"))
        elif name == "limits":
            found = self._limits(account)
        else:
            found = {"balance": self._balance, "recharge": self._recharge}[name](account)
        return {"ok": True, "position": position, "as_of_position": None, "data": found}

    def _balance(self, account: Account) -> dict[str, Any]:
        return {
            "unit": account.unit,
            "plan": account.plan,
            "available": str(account.available),
            "reserved": str(account.reserved),
            "total": str(account.total),
            "status": account.status,
            "armed": account.armed,
            "freezes": list(account.freezes),
        }

    def _limits(self, account: Account) -> dict[str, Any]:
        limits = account.limits
        return {
            "day": None if limits is None or limits.day is None else str(limits.day),
            "month": None if limits is None or limits.month is None else str(limits.month),
            "alerts": list(limits.alerts) if limits else [],
            "spent_day": "0" if limits else None,
            "spent_month": "0" if limits else None,
        }

    def _keys(self, account: Account, only: str | None) -> dict[str, Any]:
        keys = [key for key in account.keys.values() if only in {None, key.key_id}]
        return {"keys": [self._key_row(key) for key in keys], "next": None}

    def _key_row(self, key: Key) -> dict[str, Any]:
        data = self._issued[key.key_id].data
        caps = {f"cap_{name}": getattr(key, f"cap_{name}") for name in ("total", "day", "month")}
        return {
            "key_id": key.key_id,
            "name": data.name,
            "purpose": key.purpose,
            "prefix": data.prefix,
            "allowed": None if key.allowed is None else list(key.allowed),
            **{name: None if cap is None else str(cap) for name, cap in caps.items()},
            **dict.fromkeys(("spent_total", "spent_day", "spent_month")),
            "created_at": None,
            "expires_at": key.expires_at,
            "lineage": key.lineage,
            "rotates": data.rotates,
            "status": "revoked" if key.revoked else "active",
            "position": 1,
        }

    def _key_by_hash(self, hashed: str) -> dict[str, Any]:
        for key_id, command in self._issued.items():
            if command.data.secret_hash == hashed:
                account = self.rules.accounts[command.account_id]
                key = account.keys[key_id]
                return {
                    "key_id": key_id,
                    "account_id": account.account_id,
                    "purpose": key.purpose,
                    "allowed": None if key.allowed is None else list(key.allowed),
                    "unit": account.unit,
                    "plan": account.plan,
                    "key_status": "revoked" if key.revoked else "active",
                    "account_status": account.status,
                    "expires_at": key.expires_at,
                }
        raise QueryFailed("unknown_key", "no such key")

    def _recharge(self, account: Account) -> dict[str, Any]:
        state = account.recharge
        policy = state and {
            "enabled": state.enabled,
            "threshold": str(state.threshold),
            "basis": state.basis,
            "amount": str(state.amount),
            "pack": state.pack,
            "caps": {
                name: None if cap is None else str(cap)
                for name in ("charge", "day", "month")
                for cap in [getattr(state, f"cap_{name}")]
            },
        }
        return {
            "policy": policy,
            "open_attempt": None,
            "failures_in_row": state.failures_in_row if state else 0,
            "next_at": state.next_at if state else None,
            "suspended": state.suspended if state else False,
            "armed": account.armed,
        }
