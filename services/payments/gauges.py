"""What an operator must see: what waits, how long, and what needs a person."""

import asyncio

from libs.runtime import metrics
from libs.runtime.clock import Clock
from libs.runtime.database import Pool

EVERY_S = 10.0

_QUERY = """
select
  (select count(*) from payments.inbox where state = 'new') as waiting,
  (select min(received_at) from payments.inbox where state = 'new') as oldest,
  (select count(*) from payments.inbox where state = 'quarantined') as quarantined,
  (select count(*) from payments.attempts where state = 'open') as attempts,
  (select count(*) from payments.attempts where state = 'quarantined') as stuck
"""


class Gauges:
    """Numbers about the tables, read every ten seconds."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._waiting = metrics.gauge("payments_inbox_waiting", "Events without an effect yet.")
        self._age = metrics.gauge(
            "payments_inbox_oldest_seconds", "Age of the oldest of those events."
        )
        self._quarantined = metrics.gauge(
            "payments_quarantined", "Events and attempts that need a person."
        )
        self._attempts = metrics.gauge("payments_attempts_open", "Recharges not decided yet.")

    async def read(self) -> None:
        row = await self._pool.fetchrow(_QUERY)
        assert row is not None
        oldest = row["oldest"]
        age = self._clock.now() - oldest if oldest is not None else None
        self._waiting.set(row["waiting"])
        self._age.set(age.total_seconds() if age is not None else 0)
        self._quarantined.set(row["quarantined"] + row["stuck"])
        self._attempts.set(row["attempts"])

    async def keep_running(self) -> None:
        while True:
            await self.read()
            await asyncio.sleep(EVERY_S)
