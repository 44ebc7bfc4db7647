"""What Stripe told us, kept until it had its effect. The row is the durable queue."""

from dataclasses import dataclass
from datetime import timedelta

from libs.runtime.clock import Clock
from libs.runtime.database import Pool
from services.payments.stripe_objects import Event


@dataclass(frozen=True, slots=True)
class Hint:
    """What an event points at. Nothing else of it is ever used."""

    event_id: str
    type: str
    object_id: str
    tries: int


class Inbox:
    """The table of events. States: new, done, ignored, quarantined."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def put(self, event: Event, source: str) -> bool:
        """Keep the event; False when it was here already."""
        now = self._clock.now()
        status = await self._pool.execute(
            "insert into payments.inbox (event_id, type, object_id, created, livemode,"
            " api_version, payload, source, received_at, state, due_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'new', $9) on conflict do nothing",
            event.id,
            event.type,
            event.object_id,
            event.created,
            event.livemode,
            event.api_version,
            event.payload,
            source,
            now,
        )
        return status.endswith(" 1")

    async def lease(self, most: int, lease_s: float) -> list[Hint]:
        """Take new events that are due; others leave them alone for `lease_s` seconds."""
        now = self._clock.now()
        rows = await self._pool.fetch(
            "update payments.inbox set due_at = $2, tries = tries + 1 where event_id in ("
            "select event_id from payments.inbox where state = 'new' and due_at <= $1"
            " order by due_at limit $3 for update skip locked)"
            " returning event_id, type, object_id, tries",
            now,
            now + timedelta(seconds=lease_s),
            most,
        )
        return [Hint(**dict(row)) for row in rows]

    async def close(self, event_id: str, state: str, error: str | None = None) -> None:
        """It had its effect (done), needs none (ignored), or needs a person (quarantined)."""
        await self._pool.execute(
            "update payments.inbox set state = $2, error = $3, done_at = $4 where event_id = $1",
            event_id,
            state,
            error,
            self._clock.now(),
        )

    async def put_back(self, event_id: str, wait_s: float, error: str) -> None:
        """Nothing is known yet: try again after `wait_s` seconds."""
        await self._pool.execute(
            "update payments.inbox set due_at = $2, error = $3"
            " where event_id = $1 and state = 'new'",
            event_id,
            self._clock.now() + timedelta(seconds=wait_s),
            error,
        )
