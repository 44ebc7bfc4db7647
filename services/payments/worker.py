"""Takes events out of the inbox, one by one, until each had its effect."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from libs.runtime.errors import RuntimeFailure
from services.payments.backoff import Backoff
from services.payments.errors import PaymentsError
from services.payments.inbox import Hint, Inbox
from services.payments.settings import PaymentsSettings
from services.payments.translate import Translator

log = logging.getLogger(__name__)

BATCH = 16


class InboxWorker:
    """Works on due events; a row that fails waits and never holds up another."""

    def __init__(self, settings: PaymentsSettings, inbox: Inbox, translator: Translator) -> None:
        self._settings = settings
        self._inbox = inbox
        self._translator = translator
        self._backoff = Backoff(settings.retry_first_s, settings.retry_cap_s)

    async def run_due(self) -> int:
        """Work on every event that is due; how many there were."""
        hints = await self._inbox.lease(BATCH, self._settings.lease_s)
        await asyncio.gather(*map(self._work, hints))
        return len(hints)

    async def _work(self, hint: Hint) -> None:
        try:
            state, error = await self._translator.apply(hint)
        except (PaymentsError, RuntimeFailure) as failed:
            await self._inbox.put_back(
                hint.event_id, self._backoff.wait_s(hint.tries), str(failed) or repr(failed)
            )
        except Exception as failed:  # a mistake of ours in one row must not stop the others
            log.exception("event", extra={"event": hint.event_id})
            wait_s = self._backoff.wait_s(hint.tries)
            await self._inbox.put_back(hint.event_id, wait_s, repr(failed))
        else:
            await self._inbox.close(hint.event_id, state, error)


async def keep_running(
    run_due: Callable[[], Awaitable[int]], wake: asyncio.Event, tick_s: float
) -> None:
    """Call `run_due` until it finds nothing, then wait for `wake` or `tick_s` seconds."""
    while True:
        wake.clear()
        while await run_due():
            pass
        try:
            await asyncio.wait_for(wake.wait(), tick_s)
        except TimeoutError:
            continue
