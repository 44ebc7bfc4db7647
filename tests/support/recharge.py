"""Recharge beside the ledger's real rules in memory: no NATS, a clock that moves only when told."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from libs.events import commands as c
from libs.events.ids import new_id
from libs.events.money import NANOS
from libs.events.replies import Reply
from libs.events.times import from_text
from libs.runtime.errors import LedgerUnavailable
from services.ledger.answers import Recorded, accepted, refused
from services.ledger.domain.state import Accepted
from services.recharge.standing import read_standing
from services.recharge.store import Fall
from tests.support.deciding import CATALOGUE, Rules, command, grant, issue_key, reserve, settle

FELL = "BalanceFellBelowThreshold"


def caps_of(policy: Any) -> dict[str, str | None]:
    given = {"charge": policy.cap_charge, "day": policy.cap_day, "month": policy.cap_month}
    return {name: None if cap is None else str(cap) for name, cap in given.items()}


@dataclass
class RuledLedger:
    """Answers as the ledger does: repeats get the first reply, a decline writes nothing."""

    rules: Rules = field(default_factory=Rules)
    away: bool = False
    """Nothing is answered and nothing is carried out."""
    deaf: bool = False
    """Questions are answered, but commands never arrive."""
    losing_replies: bool = False
    """Commands are carried out, but nobody hears of it."""
    declining: dict[str, Any] | None = None
    """A decline that every StartRecharge gets."""
    asked: list[c.StartRecharge] = field(default_factory=list)
    _replies: dict[str, Reply] = field(default_factory=dict)

    def ledger_now(self):
        return self.rules.at

    async def send(self, sent: c.Command, *, give_up_s: float) -> Reply:
        if self.away or self.deaf:
            raise LedgerUnavailable("away")
        self.asked.append(sent)
        if self.declining is not None:
            return self._reply(dict(self.declining, account_id=sent.account_id))
        reply = self._replies.get(sent.caller_id) or self._decide(sent)
        if self.losing_replies:
            raise LedgerUnavailable("reply lost")
        return reply

    def _decide(self, sent: c.Command) -> Reply:
        decision = self.rules.run(sent)
        if not isinstance(decision, Accepted):
            return self._reply(refused(decision, sent.account_id, 1))
        first = len(self.rules.events) - len(decision.events) + 1
        recorded = [
            Recorded(first + n, event.type, event.data) for n, event in enumerate(decision.events)
        ]
        reply = self._reply(
            accepted(sent.kind, sent.account_id, 1, recorded, recorded[-1].position)
        )
        self._replies[sent.caller_id] = reply
        return reply

    @staticmethod
    def _reply(fields: dict[str, Any]) -> Reply:
        envelope = {"incarnation": 1, "position": None, "event_count": 0, "account_id": None}
        return Reply(**{**envelope, **fields})

    async def standing(self, account_id: str, _min_position: int):
        if self.away:
            raise LedgerUnavailable("away")
        return read_standing(self.balance(account_id), self.recharge(account_id))

    def balance(self, account_id: str) -> dict[str, Any]:
        account = self.rules.accounts[account_id]
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

    def recharge(self, account_id: str) -> dict[str, Any]:
        account = self.rules.accounts[account_id]
        state = account.recharge
        nothing = {"policy": None, "open_attempt": None, "failures_in_row": 0, "next_at": None}
        if state is None:
            return {**nothing, "suspended": False, "armed": account.armed}
        attempt = state.attempt
        return {
            "policy": {
                "enabled": state.enabled,
                "threshold": str(state.threshold),
                "basis": state.basis,
                "amount": str(state.amount),
                "pack": state.pack,
                "caps": caps_of(state),
            },
            "open_attempt": attempt
            and {
                "attempt_id": attempt.attempt_id,
                "credits": str(attempt.credits),
                "price": {"currency": attempt.currency, "minor": attempt.minor},
                "started_at": attempt.started_at,
            },
            "failures_in_row": state.failures_in_row,
            "next_at": state.next_at,
            "suspended": state.suspended,
            "armed": account.armed,
        }

    # What others do to an account.

    def open(self, unit: str = "USD", plan: str = "payg", units: int = 20, **policy: Any) -> str:
        """An account with a key, a balance and a recharge policy, all amounts in whole units."""
        account = new_id("acct")
        data = {"unit": unit, "plan": plan, "catalogue": CATALOGUE}
        self.run(command(c.OpenAccount, account, data, caller_id=account))
        self.run(issue_key(account, "key_" + account[5:], self.rules.at))
        self.run(grant(account, units * NANOS))
        self.configure(account, **policy)
        return account

    def configure(self, account: str, **policy: Any) -> None:
        amounts = {
            name: value * NANOS
            for name, value in ({"threshold": 10, "amount": 10} | policy).items()
            if isinstance(value, int) and not isinstance(value, bool)
        }
        given = {"enabled": True, "basis": "total", **policy, **amounts}
        self.run(command(c.ConfigureRecharge, account, given))

    def hold(self, account: str, units: int) -> str:
        res = new_id("req")
        key = "key_" + account[5:]
        self.run(reserve(account, key, units * NANOS, self.rules.at, res=res))
        return res

    def spend(self, account: str, units: int) -> None:
        self.run(settle(account, self.hold(account, units), units * NANOS))

    def grant_attempt(self, account: str) -> str:
        """Payments collected the open attempt."""
        attempt = self.rules.accounts[account].recharge.attempt
        paid = {"currency": attempt.currency, "minor": attempt.minor}
        data = {"attempt_id": attempt.attempt_id, "payment": "pi_1", "paid": paid}
        self.run(grant(account, attempt.credits, source="recharge", **data))
        return attempt.attempt_id

    def fail_attempt(self, account: str, failure: str = "soft") -> None:
        attempt = self.rules.accounts[account].recharge.attempt.attempt_id
        data = {"attempt_id": attempt, "class": failure, "code": "card_declined"}
        self.run(command(c.RecordRechargeFailure, account, data, caller_id=f"failed:{attempt}"))

    def run(self, sent: c.Command) -> None:
        decision = self.rules.run(sent)
        assert isinstance(decision, Accepted), decision

    def after(self, **duration: float) -> None:
        self.rules.at += timedelta(**duration)

    # What the log then holds.

    def of(self, kind: str, account: str) -> list[Any]:
        return [e for e in self.rules.events if e.type == kind and e.account_id == account]

    def last_fall(self, account: str, state: str = "watched") -> Fall:
        """The newest fall of an account, as the watcher would store it."""
        positions = [
            n
            for n, event in enumerate(self.rules.events, 1)
            if event.type == FELL and event.account_id == account
        ]
        at = from_text(self.rules.events[positions[-1] - 1].occurred_at)
        return Fall(account, 0, 1, positions[-1], at, state)
