"""Webhooks get lost: Stripe's own list of events is compared with the inbox (PAY-7)."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from libs.runtime import metrics
from libs.runtime.clock import Clock
from libs.runtime.database import Pool
from services.payments.errors import PaymentsError
from services.payments.inbox import Inbox
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import StripeApi

log = logging.getLogger(__name__)

OVERLAP = timedelta(hours=2)
REACH = timedelta(days=29)
"""Stripe lists events of 30 days."""
RETRY_S = 10.0


class Reconciler:
    """Puts events into the inbox that no delivery brought."""

    def __init__(
        self,
        settings: PaymentsSettings,
        pool: Pool,
        inbox: Inbox,
        stripe: StripeApi,
        clock: Clock,
        kinds: Sequence[str],
        stored: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._inbox = inbox
        self._stripe = stripe
        self._clock = clock
        self._kinds = kinds
        self._stored = stored
        self._found = metrics.counter(
            "payments_events_healed_total", "Events found at Stripe that no delivery had brought."
        )

    async def run(self) -> int:
        """Compare once; how many events were missing. Raises StripeUnavailable."""
        started = self._clock.now()
        missing = 0
        async for event in self._stripe.events_since(self._kinds, await self._since(started)):
            missing += await self._inbox.put(event, "reconcile")
        await self._pool.execute(
            "insert into payments.reconciliations (listed_until) values ($1)"
            ' on conflict ("only") do update set listed_until = excluded.listed_until',
            started,
        )
        if missing:
            self._found.inc(missing)
            log.warning("%d events had not been delivered", missing)
            self._stored()
        return missing

    async def keep_running(self) -> None:
        """At start and every `reconcile_s` seconds; sooner again after a failure."""
        while True:
            wait_s = self._settings.reconcile_s
            try:
                await self.run()
            except PaymentsError as error:
                log.warning("reconciliation failed: %s", error)
                wait_s = min(wait_s, RETRY_S)
            await asyncio.sleep(wait_s)

    async def _since(self, now: datetime) -> datetime:
        listed_until: datetime | None = await self._pool.fetchval(
            "select listed_until from payments.reconciliations"
        )
        return max((listed_until or now) - OVERLAP, now - REACH)
