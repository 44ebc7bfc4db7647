"""A stream whose client gave no cap: what is held grows ahead of what is delivered (ADR 18).

The provider gets a cap of more output than is held at first. No delivered text is ever more than
what is held could pay for at one token a byte; what the provider may bill beyond that, for text it
has not sent, is bounded by its cap, and kept small by `Unheld`.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from libs.runtime import metrics
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from services.gateway.estimate import Bound, cap_within
from services.gateway.hold import Hold
from services.gateway.meter import Meter
from services.gateway.offers import Candidate, Offer
from services.gateway.tally import Tally
from services.gateway.unheld import Unheld

log = logging.getLogger(__name__)

_NEVER: Final = 1 << 62
_LEAD: Final = 4
"""A part of a slice: that much ahead of need more is asked for."""

_extended: Final = metrics.counter("holds_extended_total", "Holds that grew while a stream ran.")
_declined: Final = metrics.counter(
    "extensions_declined_total", "Extensions that the ledger declined: the stream ends early."
)


def wide_cap(offer: Offer, bound: Bound, hold: Hold, unheld: Unheld) -> int:
    """The output cap for each choice to send upstream when more than that is not held at first.

    `bound.cap` where the hold cannot grow: the balance or a cap already limits it.
    """
    if hold.amount < bound.amount or not hold.available:
        return cap_within(offer, bound, hold.amount)
    room = unheld.room(hold.order.account_id, hold.available)
    wide = replace(bound, cap=offer.max_output, amount=_cost(offer, bound, offer.max_output))
    return max(bound.cap, cap_within(offer, wide, hold.amount + room))


def _cost(offer: Offer, bound: Bound, cap: int) -> int:
    output = cap * bound.choices + bound.beside
    return offer.most(bound.input_tokens, output, hour_cache=bound.hour_cache)


class Growth:
    """Extends the hold of one stream; `alarm` is the delivered bytes at which to ask it."""

    def __init__(self, hold: Hold, tally: Tally, cap: int, unheld: Unheld) -> None:
        self._hold = hold
        self._tally = tally
        self._offer, bound = tally.offer, tally.bound
        self._bound = replace(bound, cap=cap, amount=_cost(tally.offer, bound, cap))
        self._slice = bound.cap
        self._unheld = unheld
        self._ahead = self._bound.amount - hold.amount
        self._task: asyncio.Task[bool] | None = None
        self._declined = False
        hold.most = max(hold.most, self._bound.amount)
        unheld.add(hold.order.account_id, self._ahead)
        self._look()

    @property
    def covered(self) -> int:
        """Bytes of text that what is held pays for: no byte is more than one token."""
        return self._tally.cap * self._bound.choices

    def close(self) -> None:
        """The stream is over."""
        self._unheld.add(self._hold.order.account_id, -self._ahead)
        if self._task is not None:
            self._task.cancel()

    async def covers(self, meter: Meter, candidate: Candidate, sent: int) -> bool:
        """Whether what is held pays for what was delivered; asks for more ahead of need."""
        delivered = meter.delivered
        while True:
            unanswered = self._ended()
            wanted = self._may_grow and delivered > self._early
            if self._task is None and wanted and not (unanswered and delivered > self.covered):
                used = self._tally.used(meter, candidate, sent)
                self._task = asyncio.create_task(self._extend(delivered, used))
            self._look()
            if delivered < self.alarm or delivered <= self.covered:
                return True
            if self._task is None:
                return False
            await asyncio.wait({self._task})

    @property
    def _may_grow(self) -> bool:
        return not self._declined and self._tally.cap < self._bound.cap

    @property
    def _early(self) -> int:
        return self.covered - self._slice * self._bound.choices // _LEAD

    def _look(self) -> None:
        if self._tally.cap >= self._bound.cap:
            self.alarm = _NEVER  # the provider itself cannot make more than is held
        elif self._may_grow and self._task is None:
            self.alarm = self._early + 1
        else:
            self.alarm = self.covered + 1

    def _ended(self) -> bool:
        """Let go of an extension that has ended; whether it found nobody."""
        if self._task is None or not self._task.done():
            return False
        task, self._task = self._task, None
        return not task.result()

    async def _extend(self, delivered: int, used: int) -> bool:
        """Hold half as much again, or else what is left; whether the ledger answered."""
        held = max(self._tally.cap, -(-delivered // self._bound.choices))
        cap = min(self._bound.cap, held + max(self._slice, held // 2))
        try:
            if await self._hold_for(cap, used):
                return True
            room = self._hold.amount + (self._hold.available or 0)
            rest = cap_within(self._offer, self._bound, room)
            self._declined = True
            _declined.inc()
            if rest > self._tally.cap:
                await self._hold_for(rest, used)
        except (LedgerUnavailable, PermissionDenied):
            log.warning("%s: an extension was not answered", self._hold.order.res)
            return False
        return True

    async def _hold_for(self, cap: int, used: int) -> bool:
        total = _cost(self._offer, self._bound, cap)
        before = self._hold.amount
        if not await self._hold.extend(total, used):
            return False
        self._tally.cap = cap
        self._ahead -= self._hold.amount - before
        self._unheld.add(self._hold.order.account_id, before - self._hold.amount)
        _extended.inc()
        return True
