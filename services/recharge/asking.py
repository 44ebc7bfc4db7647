"""Asking the ledger for an attempt: written down first, repeated under the same id until answered.

So a crash between deciding and asking, or between asking and hearing, never makes two attempts of
one need: the row is found again and the same id is sent again.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from libs.events.commands import Command, StartRecharge
from libs.events.fields import Paid
from libs.events.ids import new_id
from libs.events.recharge_commands import StartRechargeData
from libs.events.replies import Reply
from libs.runtime import metrics
from services.recharge.policy import Offer
from services.recharge.store import Attempt, Store

log = logging.getLogger(__name__)


class Ledger(Protocol):
    """The part of the command client that is used here."""

    async def send(self, command: Command, *, give_up_s: float) -> Reply:
        """Return the ledger's final reply; raises LedgerUnavailable."""

    def ledger_now(self) -> datetime:
        """Return the ledger's time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger finally said: `started`, or refused with a code and what goes with it."""

    started: bool
    code: str
    data: Mapping[str, Any]


class Asking:
    """Sends StartRecharge. Times in seconds: deadline of the command, patience of one try."""

    def __init__(
        self, store: Store, ledger: Ledger, *, start_within_s: float, give_up_s: float
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._within = timedelta(seconds=start_within_s)
        self._give_up_s = give_up_s
        self._answers = {
            True: metrics.counter("recharge_started_total", "Attempts the ledger admitted."),
            False: metrics.counter("recharge_refused_total", "Attempts the ledger refused."),
        }

    async def ask(self, account_id: str, amount: int, offer: Offer, trigger: str) -> Answer | None:
        """Ask for a new attempt; None when another process has just written one down.

        Raises LedgerUnavailable: the attempt stays written down and is settled by a later look.
        """
        now = self._ledger.ledger_now()
        attempt = Attempt(
            attempt_id=new_id("rchg"),
            account_id=account_id,
            credits=amount,
            currency=offer.currency,
            price=offer.price_of(amount),
            trigger=trigger,
            deadline=now + self._within,
        )
        command = _command(attempt)  # before the row: what cannot be asked is not written down
        if not await self._store.save_attempt(attempt, now):
            return None
        return await self._send(attempt, command)

    async def ask_again(self, attempt: Attempt) -> Answer:
        """Repeat an attempt whose contents are still right, under its id, with a new deadline."""
        renewed = replace(attempt, deadline=self._ledger.ledger_now() + self._within)
        await self._store.renew(renewed.attempt_id, renewed.deadline)
        return await self._send(renewed, _command(renewed))

    async def settle(self, attempt: Attempt) -> Answer:
        """Learn what became of an attempt that is no longer wanted.

        Its deadline has passed, so the ledger answers with the first reply or refuses for good.
        """
        return await self._send(attempt, _command(attempt))

    async def _send(self, attempt: Attempt, command: StartRecharge) -> Answer:
        reply = await self._ledger.send(command, give_up_s=self._give_up_s)
        answer = _answer(reply)
        state = "started" if answer.started else "refused"
        await self._store.close_attempt(
            attempt.attempt_id, state, answer.code, self._ledger.ledger_now()
        )
        self._answers[answer.started].inc()
        log.info(
            "recharge %s of %s: %s",
            attempt.attempt_id,
            attempt.account_id,
            answer.code,
            extra={"trigger": attempt.trigger},
        )
        return answer


def _command(attempt: Attempt) -> StartRecharge:
    return StartRecharge(
        caller_id=attempt.attempt_id,
        account_id=attempt.account_id,
        deadline=attempt.deadline,
        correlation_id=attempt.attempt_id,
        causation=attempt.trigger,
        data=StartRechargeData(
            attempt_id=attempt.attempt_id,
            credits=attempt.credits,
            price=Paid(currency=attempt.currency, minor=attempt.price),
            trigger=attempt.trigger,
        ),
    )


def _answer(reply: Reply) -> Answer:
    if reply.reply == "Started":
        return Answer(started=True, code="started", data=reply.data)
    code = {
        "Declined": reply.data.get("code"),
        "Conflict": f"conflict_{reply.data.get('code')}",
        "Malformed": "malformed",
        "RejectedByStore": "rejected_by_store",
    }.get(reply.reply)
    return Answer(started=False, code=str(code or reply.reply.lower()), data=reply.data)
