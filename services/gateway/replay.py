"""Sends again what the journal keeps, with the same ids, until each has its final reply."""

import asyncio
import logging
from datetime import datetime
from typing import Final, Protocol

from libs.events.codec import Malformed, decode_command
from libs.events.commands import Command, Release, ReleaseData
from libs.events.replies import Reply
from libs.runtime import metrics
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from services.gateway.journal import Entry, Journal

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
_AT_ONCE: Final = 32
_GIVE_UP_S: Final = 1.0
_CLOSED: Final = frozenset({"Settled", "Released"})

_refused = metrics.counter(
    "journal_refused_total", "Commands of the journal that the ledger refused for good."
)


class Sender(Protocol):
    """The part of the ledger's client that a replay needs."""

    def ledger_now(self) -> datetime: ...

    async def send(self, command: Command, *, give_up_s: float) -> Reply: ...


class Replay:
    """Works off a journal."""

    def __init__(self, journal: Journal, ledger: Sender) -> None:
        self._journal = journal
        self._ledger = ledger

    async def run(self) -> None:
        """One round every second, the first at once, for ever."""
        while True:
            try:
                await self.round()
            except OSError:
                log.exception("the journal cannot be worked off")
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Try every entry once; stop early when none of a whole group was answered."""
        await self._journal.tend()
        entries = self._journal.entries()
        for start in range(0, len(entries), _AT_ONCE):
            group = entries[start : start + _AT_ONCE]
            answered = await asyncio.gather(*map(self._try, group))
            if not any(answered):
                break
        if entries:
            await self._journal.tend()

    async def _try(self, entry: Entry) -> bool:
        command = decode_command(entry.record)
        if isinstance(command, Malformed):
            # Written by another version, or by nobody we know: a person has to look at it.
            log.critical("a journal record cannot be read: %s", command.error)
            entry.file.damaged = True
            self._journal.answered(entry)
            return True
        try:
            reply = await self._answer(command)
            undecided = _may_still_hold(command, reply, self._ledger)
        except (LedgerUnavailable, PermissionDenied):
            self._journal.postpone(entry)
            return False
        if undecided:
            self._journal.postpone(entry)
            return True
        self._journal.answered(entry)
        if reply.reply not in _CLOSED and not _is_expected(command, reply):
            _refused.inc()
            log.error(
                "%s of %s was refused for good: %s %s",
                command.kind,
                command.caller_id,
                reply.reply,
                reply.data.get("code"),
            )
        return True

    async def _answer(self, command: Command) -> Reply:
        """The reply to a command; a Reserve that stands here was given up: what it holds, too."""
        reply = await self._ledger.send(command, give_up_s=_GIVE_UP_S)
        if command.kind == "Reserve" and reply.reply == "Reserved":
            undo = Release(
                caller_id=command.caller_id,
                account_id=command.account_id,
                correlation_id=command.correlation_id,
                data=ReleaseData(res=command.caller_id, reason_code="reserve_unanswered"),
            )
            return await self._ledger.send(undo, give_up_s=_GIVE_UP_S)
        return reply


def _may_still_hold(command: Command, reply: Reply, ledger: Sender) -> bool:
    """Whether a copy of a Reserve that is still under way may be accepted after this refusal."""
    if command.kind != "Reserve" or reply.reply != "Declined" or command.deadline is None:
        return False
    return reply.data.get("code") != "deadline_passed" and ledger.ledger_now() <= command.deadline


def _is_expected(command: Command, reply: Reply) -> bool:
    """A release of what was never reserved finds nothing, which is what it wanted.

    So does a Reserve that was given up and holds nothing, or what another has opened.
    """
    if command.kind == "Reserve":
        return reply.reply in {"Declined", "Conflict"}
    return command.kind == "Release" and reply.data.get("code") == "unknown_reservation"
