"""Waiting for a partition's lock: polling, ending a leader that hangs, asking one to give way.

A process that is stopped or stuck keeps its connection, and with it the lock. A standby therefore
pings the leader; when it stays silent the standby ends the leader's database session. What the
old leader had appended stays, what it had not fails, and no reply of it can leave any more,
because every reply waits for a statement on that session (ADR-0002).

A process may prefer some partitions (ADR-0005): it asks a leader that does not prefer them to
give way. One that gives way takes the lock only where nobody has led for a moment.
"""

import asyncio
import logging
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from libs.events import subjects
from libs.runtime.clock import Clock
from libs.runtime.metrics import counter
from services.ledger.settings import LedgerSettings
from services.ledger.store import Store

log = logging.getLogger(__name__)

ended = counter("ledger_leaders_ended_total", "Silent leaders whose database session was ended")

GIVE_WAY = b"give way"
"""What a standby that prefers the partition says in its ping."""
VACANT_S = 0.5
"""How long nobody must have led before a process that gives way takes the lock."""


async def answer_pings(nc: Client, partition: int, asked: Callable[[], None]) -> Subscription:
    """Let standbys know that this leader's loop turns; `asked` is called to give way."""

    async def answer(msg: Msg) -> None:
        if msg.reply.startswith("inbox."):
            await nc.publish(msg.reply, b"leading")
            if msg.data == GIVE_WAY:
                asked()

    return await nc.subscribe(subjects.leader(partition), cb=answer)


class Standby:
    """One partition's wait for the lock.

    Args:
        prefers: ask the leader to give way.
        gives_way: take the lock only when no leader has answered for VACANT_S seconds.
    """

    def __init__(
        self,
        partition: int,
        store: Store,
        nc: Client,
        clock: Clock,
        settings: LedgerSettings,
        *,
        prefers: bool = False,
        gives_way: bool = False,
    ) -> None:
        self._partition = partition
        self._store = store
        self._nc = nc
        self._clock = clock
        self._poll_s = settings.standby_poll_s
        self._patience_s = settings.standby_ping_s
        self._ping = GIVE_WAY if prefers else b""
        self._gives_way = gives_way
        self._silent_since: float | None = None
        self._freed = False
        self._last_look = clock.monotonic()

    async def locked_at_once(self) -> bool:
        """True when the lock was free and is held now."""
        return not self._gives_way and await self._store.try_lock()

    async def wait(self, stopping: asyncio.Event) -> bool:
        """True once the lock is held; False when the process stops first.

        Never blocks in the lock: a waiting session would pin xmin and slow the leader threefold.
        """
        while not stopping.is_set():
            began = self._clock.monotonic()
            if self._may_lead(began) and await self._store.try_lock():
                return True
            await self._watch()
            if not self._freed:
                await asyncio.sleep(max(0.0, began + self._poll_s - self._clock.monotonic()))
        return False

    def _may_lead(self, now: float) -> bool:
        if not self._gives_way or self._freed:
            self._freed = False
            return True
        return self._silent_since is not None and now - self._silent_since >= VACANT_S

    async def _watch(self) -> None:
        """Ping once; end the leader when it has been silent for longer than the patience."""
        asked = self._clock.monotonic()
        answered = self._nc.is_connected and await self._answers()
        now = self._clock.monotonic()
        slept = now - self._last_look > self._patience_s or now - asked > 2 * self._poll_s
        self._last_look = now
        if slept or answered or not self._nc.is_connected:
            # Silence counts only while we ourselves were awake and connected: who is stopped
            # between a ping and its answer finds his own time-out first when he wakes, and it
            # came later than it should.
            self._silent_since = None
            return
        if self._silent_since is None:
            self._silent_since = asked
        if now - self._silent_since >= self._patience_s:
            await self._end_leader()

    async def _answers(self) -> bool:
        subject = subjects.leader(self._partition)
        try:
            await self._nc.request(subject, self._ping, timeout=self._poll_s)
        except nats.errors.Error:
            return False
        return True

    async def _end_leader(self) -> None:
        self._silent_since = None
        pid = await self._store.end_holder()
        if pid is not None:
            self._freed = True
            ended.inc()
            log.error(
                "the leader of partition %d was silent for %.1f s: ended its session %d",
                self._partition, self._patience_s, pid,
            )  # fmt: skip
