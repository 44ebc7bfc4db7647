"""One look at an account that fell: ask where it stands, decide, act, plan the next look."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from libs.events.money import minor_to_nanos
from libs.runtime.errors import LedgerUnavailable, QueryFailed
from services.recharge.asking import Answer, Asking
from services.recharge.offers import Offers, PaymentsUnavailable
from services.recharge.policy import Needed, Offer, Rearmed, Standing, Wait, decide, size
from services.recharge.refusals import MISTAKE_WAIT, advise
from services.recharge.settings import RechargeSettings
from services.recharge.store import Attempt, Fallen, Store

log = logging.getLogger(__name__)

AskStanding = Callable[[str, int], Awaitable[Standing]]

SETTLE_MARGIN = timedelta(seconds=1)
"""How long after an attempt's deadline the ledger's clock has surely passed it too."""
MOST_ASKED = 3
"""Attempts in one look: each cap over time may lower the amount once."""


class Looker:
    """Looks at accounts; `now` is the ledger's time."""

    def __init__(
        self,
        store: Store,
        asking: Asking,
        offers: Offers,
        standing: AskStanding,
        now: Callable[[], datetime],
        settings: RechargeSettings,
    ) -> None:
        self._store = store
        self._asking = asking
        self._offers = offers
        self._standing = standing
        self._now = now
        self._settings = settings

    async def look(self, row: Fallen, run: str | None = None) -> str:
        """Look once and return what came of it: `rearmed`, `started` or why nothing was asked.

        `run` names the sweep that looks; without one the event that was seen is the trigger.
        """
        try:
            return await self._look(row, run)
        except LedgerUnavailable:
            return await self._soon(row, "ledger_away")
        except PaymentsUnavailable as error:
            log.warning("recharge of %s waits for payments: %s", row.account_id, error)
            return await self._soon(row, "payments_away")
        except QueryFailed as error:
            log.warning("recharge of %s: the ledger answered %s", row.account_id, error.code)
            return await self._later(row, error.code)
        except (ValueError, KeyError, TypeError):
            # What one account's data breaks must not keep the others from being looked at.
            log.exception("recharge of %s failed", row.account_id)
            return await self._later(replace(row, not_before=self._now() + MISTAKE_WAIT), "failed")

    async def _look(self, row: Fallen, run: str | None) -> str:
        standing = await self._standing(row.account_id, row.position)
        stored = await self._store.stored_attempt(row.account_id)
        if standing.armed:
            await self._settle(stored)
            await self._store.forget(row)
            return "rearmed"
        if row.state == "reported":
            return await self._later(row, "reported")
        decision = self._decide(row, standing)
        if not isinstance(decision, Needed):
            await self._settle(stored)
            return await self._wait(row, decision)
        offer = await self._offers.find(row.account_id, standing)
        if offer is None:
            return await self._later(row, "no_offer")
        return await self._ask(row, standing, decision.shortfall, offer, stored, run)

    def _decide(self, row: Fallen, standing: Standing) -> Rearmed | Wait | Needed:
        now = self._now()
        if row.not_before is not None and now < row.not_before:
            return Wait("too_early", until=row.not_before)
        return decide(
            standing,
            now=now,
            below_since=row.below_since or now,
            dip_wait=self._settings.dip_wait,
        )

    async def _ask(
        self,
        row: Fallen,
        standing: Standing,
        shortfall: int,
        offer: Offer,
        stored: Attempt | None,
        run: str | None,
    ) -> str:
        """Ask for what is missing, and for less when a cap over time leaves less."""
        assert standing.policy is not None
        multiple = self._offers.multiple(standing)
        for _ in range(MOST_ASKED):
            now = self._now()
            room = row.room if row.room_until is not None and now < row.room_until else None
            amount = size(shortfall, multiple, offer, standing.policy, room)
            if not amount:
                await self._settle(stored)
                return await self._later(row, "cap" if multiple else "no_amount")
            answer = await self._answer(row, amount, offer, stored, run)
            if answer is None:
                return await self._later(row, "attempt_stored")
            price = minor_to_nanos(offer.price_of(amount), offer.currency)
            advice = advise(answer.code, answer.data, price, self._now())
            if advice.mistake:
                log.error("recharge of %s cannot be asked: %s", row.account_id, answer.code)
            row = replace(row, not_before=advice.not_before)
            if advice.room is None:
                plan = self._soon if advice.soon else self._later
                return await plan(row, answer.code)
            row, stored = replace(row, room=advice.room, room_until=advice.room_until), None
        return await self._later(row, "cap")

    async def _answer(
        self, row: Fallen, amount: int, offer: Offer, stored: Attempt | None, run: str | None
    ) -> Answer | None:
        """The ledger's answer; None while an attempt that was written down stands in the way."""
        if stored is not None:
            asked = (stored.credits, stored.currency, stored.price)
            if asked == (amount, offer.currency, offer.price_of(amount)):
                return await self._asking.ask_again(stored)
            settled = await self._settle(stored)
            if settled is None or settled.started:
                return None
        trigger = run or f"{row.incarnation}-{row.partition}-{row.position}"
        return await self._asking.ask(row.account_id, amount, offer, trigger)

    async def _settle(self, stored: Attempt | None) -> Answer | None:
        """Close an attempt that is no longer wanted, once its deadline has surely passed."""
        if stored is None or self._now() <= stored.deadline + SETTLE_MARGIN:
            return None
        return await self._asking.settle(stored)

    async def _wait(self, row: Fallen, decision: Rearmed | Wait) -> str:
        assert isinstance(decision, Wait)
        below_since = (row.below_since or self._now()) if decision.below else None
        return await self._later(
            replace(row, below_since=below_since), decision.reason, decision.until
        )

    async def _soon(self, row: Fallen, reason: str) -> str:
        retry_at = self._now() + timedelta(seconds=self._settings.retry_s)
        return await self._later(row, reason, retry_at)

    async def _later(self, row: Fallen, reason: str, at: datetime | None = None) -> str:
        """Plan the next look: at the usual interval, or at a known moment that comes sooner."""
        now = self._now()
        look_at = now + timedelta(seconds=self._settings.look_every_s)
        known = [moment for moment in (at, row.not_before) if moment is not None and moment > now]
        await self._store.plan(replace(row, look_at=min([look_at, *known])), reason)
        return reason
