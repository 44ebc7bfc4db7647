"""Follows the log of one partition and keeps its projections up with it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import orjson

from libs.events.codec import Malformed, decode_event
from libs.events.commands import KIND_CODES
from libs.events.events import TYPE_NAMES
from libs.events.upcasters import newest
from libs.runtime.database import Connection
from libs.runtime.metrics import counter, gauge
from services.ledger.projections import requests
from services.ledger.projections.entries import Data, digits_of
from services.ledger.projections.projector import SQL, MovedByAnotherError, Projector

log = logging.getLogger(__name__)

LOCK_SPACE = 2
"""First key of the readers' advisory lock (the writers' is 1); the second is the partition."""
BACK_OFF_S = 0.1
BACK_OFF_MOST_S = 10.0

Connect: TypeAlias = "Callable[[], Awaitable[Connection]]"
Quarantine = Callable[[int, int, bytes, str], Awaitable[None]]
"""(partition, position, raw body, error) → published; raises when it could not be."""

projected = counter("projected_events_total", "Events applied to the projections.")
poisoned = counter("projected_malformed_total", "Events that could not be decoded.")
failures = counter("projection_failures_total", "Runs of events whose effect failed.")


class GapError(RuntimeError):
    """The log has no event at a position below its end: rows were lost or removed."""


class Row(NamedTuple):
    position: int
    type: int
    body: bytes


class Follower:
    """One partition's loop: wake, read up to `batch` events, apply them, again.

    Of several processes one follows a partition: the lock is on the connection that writes, so
    whoever loses the connection loses the right to write. A failed effect is tried again from the
    stored position with growing pauses, for ever; only bytes that are no event are passed over.
    """

    def __init__(
        self,
        partition: int,
        connect: Connect,
        quarantine: Quarantine,
        *,
        batch: int = 500,
        poll_s: float = 0.25,
    ) -> None:
        self.partition = partition
        self.wake = asyncio.Event()
        self._connect = connect
        self._quarantine = quarantine
        self._batch = batch
        self._poll_s = poll_s
        self._problem: str | None = "starting"
        self._failed_in_row = 0
        self._passed_over = 0
        self._position = gauge(
            "projected_position", "Last position applied.", partition=str(partition)
        )

    def health(self) -> str | None:
        """What is wrong now; None while all is well, also when another process leads."""
        return self._problem

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except Exception as error:
                failures.inc()
                self._failed_in_row += 1
                self._problem = f"{type(error).__name__}: {error}"
                log.exception("partition %d: projections stand still", self.partition)
            pause = min(BACK_OFF_S * 2 ** (self._failed_in_row - 1), BACK_OFF_MOST_S)
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        connection = await self._connect()
        try:
            while not await self._leads(connection):
                self._well()
                await self._woken()
            projector = Projector(connection, self.partition)
            await projector.begin()
            while True:
                # Somebody may have emptied a projection to have it made anew (rebuild.py).
                try:
                    if await self._step(connection, projector):
                        continue
                    await self._woken()
                except MovedByAnotherError as error:
                    log.warning("%s: going on from where it is", error)
                await projector.begin()
        finally:
            await _close(connection)

    async def _leads(self, connection: Connection) -> bool:
        query = "select pg_try_advisory_lock($1, $2)"
        return bool(await connection.fetchval(query, LOCK_SPACE, self.partition))

    async def _step(self, connection: Connection, projector: Projector) -> bool:
        """Apply the next run of events; False when there was none."""
        after = projector.position
        found = await connection.fetch(SQL["events_after"], self.partition, after, self._batch)
        rows = [Row(*row) for row in found]
        if rows:
            await self._apply(connection, projector, rows)
            projected.inc(len(rows))
            self._position.set(projector.position)
        self._well()
        return bool(rows)

    async def _apply(self, connection: Connection, projector: Projector, rows: list[Row]) -> None:
        events: list[Data] = []
        for expected, row in enumerate(rows, start=projector.position + 1):
            if row.position != expected:
                raise GapError(f"the log has {row.position} where {expected} should be")
            event = decode(row)
            if isinstance(event, Malformed):
                await self._pass_over(row, event.error)
            elif event is not None:
                events.append(event)
        try:
            await projector.apply(events, rows[-1].position)
        except MovedByAnotherError:
            raise
        except Exception:
            if connection.is_closed():
                raise
            # One event's bytes, or a failure of ours? Nothing was written: go one by one.
            await self._one_by_one(connection, projector, rows)

    async def _one_by_one(
        self, connection: Connection, projector: Projector, rows: list[Row]
    ) -> None:
        for row in rows:
            event = decode(row, strictly=True)
            if isinstance(event, Malformed):
                await self._pass_over(row, event.error)
                await projector.apply([], row.position)
                continue
            try:
                await projector.apply([event] if event else [], row.position)
            except requests.UnknownRequest:
                if event is None or not await self._reservation_was_lost(connection, event):
                    raise
                await self._pass_over(row, "its reservation's own event is malformed")
                await projector.apply([], row.position)

    async def _reservation_was_lost(self, connection: Connection, event: Data) -> bool:
        """Whether the log itself cannot say how the reservation of this event was opened."""
        res, account = requests.subject(event), digits_of(event["account_id"])
        query, kind = SQL["lost_reservation"], KIND_CODES["Reserve"]
        bodies = await connection.fetch(query, res, kind, account, self.partition)
        return not any(
            isinstance(opened := decode_event(row["body"]), dict)
            and opened["type"] == "CreditsReserved"
            for row in bodies
        )

    async def _pass_over(self, row: Row, error: str) -> None:
        if row.position <= self._passed_over:
            return  # told already, before a failure further on
        poisoned.inc()
        log.error("event %d:%d is malformed: %s", self.partition, row.position, error)
        await self._quarantine(self.partition, row.position, row.body, error)
        self._passed_over = row.position

    async def _woken(self) -> None:
        """Wait for the hint that something was committed, at most one poll interval."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self.wake.wait()
        self.wake.clear()

    def _well(self) -> None:
        self._problem = None
        self._failed_in_row = 0


async def _close(connection: Connection) -> None:
    """Close, and so give the lock back; never raise, or a cancellation would be lost."""
    try:
        await connection.close(timeout=1.0)
    except Exception:  # noqa: BLE001 - a connection that does not close in time is cut
        connection.terminate()


def decode(row: Row, *, strictly: bool = False) -> Data | Malformed | None:
    """The event's body, None when nothing can be projected of it because its type is unknown.

    Strictly checks every field, which costs ten times as much. Raises UnknownVersionError, or
    UpcastError: neither is the bytes' fault, so neither is passed over.
    """
    kind = TYPE_NAMES.get(row.type)
    if kind is None:
        return None
    event = decode_event(row.body) if strictly else _loaded(row.body)
    if isinstance(event, Malformed):
        return event
    if event.get("type") != kind or event.get("position") != row.position:
        return Malformed(f"the body is of {event.get('type')} {event.get('position')}")
    try:
        return newest(event)
    except (LookupError, TypeError) as error:
        return Malformed(f"no version of an event: {error!r}")


def _loaded(body: bytes) -> dict[str, Any] | Malformed:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Malformed(f"not JSON: {error}")
    return event if isinstance(event, dict) else Malformed("not an object")
