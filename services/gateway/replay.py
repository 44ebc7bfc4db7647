"""Sends again what the journal keeps, with the same ids, until each has its final reply."""

import asyncio
import logging
from typing import Final, Protocol

from libs.events.codec import Malformed, decode_command
from libs.events.commands import Command
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
            reply = await self._ledger.send(command, give_up_s=_GIVE_UP_S)
        except (LedgerUnavailable, PermissionDenied):
            self._journal.postpone(entry)
            return False
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


def _is_expected(command: Command, reply: Reply) -> bool:
    """A release of what was never reserved finds nothing, which is what it wanted."""
    return command.kind == "Release" and reply.data.get("code") == "unknown_reservation"
