"""Seeing accounts fall: each BalanceFellBelowThreshold becomes a row, once."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from libs.events.ids import event_id
from libs.events.times import from_text
from libs.runtime import metrics
from libs.runtime.database import Connection
from services.recharge.store import Fall, save_fall

log = logging.getLogger(__name__)

FELL: Final = "BalanceFellBelowThreshold"
COMMITTED_S: Final = 0.02
"""After this a row is surely committed; if not, the next look at the table finds it."""


class Watcher:
    """Stores falls; `now` is the ledger's time, `fell` is told soon after one was stored.

    A fall older than `performed_within_s` when first seen is only reported: replaying old events
    must not charge a card.
    """

    def __init__(
        self, now: Callable[[], datetime], fell: Callable[[], None], *, performed_within_s: float
    ) -> None:
        self._now = now
        self._fell = fell
        self._within = timedelta(seconds=performed_within_s)
        self._falls = metrics.counter("recharge_falls_total", "Falls below a threshold seen.")
        self._reported = metrics.counter(
            "recharge_falls_reported_total", "Falls too old to act on."
        )

    async def apply(self, connection: Connection, body: dict[str, Any]) -> None:
        """The effect of one event, in the transaction that stores its position."""
        now, occurred_at = self._now(), from_text(body["occurred_at"])
        old = now - occurred_at > self._within
        fall = Fall(
            account_id=body["account_id"],
            partition=body["partition"],
            incarnation=body["incarnation"],
            position=body["position"],
            occurred_at=occurred_at,
            state="reported" if old else "watched",
        )
        await save_fall(connection, fall, now)
        self._falls.inc()
        if old:
            self._reported.inc()
            name = event_id(fall.incarnation, fall.partition, fall.position)
            log.warning("event %s came too late: %s is not recharged", name, fall.account_id)
        asyncio.get_running_loop().call_later(COMMITTED_S, self._fell)
