"""The single writer of a partition: drain, decide in memory, one statement, then reply.

It runs at its own pace: what arrives while a statement runs is the next batch, so one fsync
serves them all and a hot account is as fast as many.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import orjson

from libs.events.times import from_text, to_text
from libs.runtime.clock import Clock
from libs.runtime.faults import fault
from libs.runtime.metrics import counter
from libs.runtime.positions import Incarnation
from services.ledger.ahead import Ahead
from services.ledger.answers import unwritten
from services.ledger.batch import Batch
from services.ledger.bodies import Log
from services.ledger.columns import EventRow
from services.ledger.command_key import CommandKey
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.state import Moment
from services.ledger.incarnations import begin
from services.ledger.load import load
from services.ledger.loaded import Loaded
from services.ledger.pending import Pending
from services.ledger.slot import Slot
from services.ledger.store import Store, is_definite, is_fenced, is_full, is_repeat
from services.ledger.working_set import WorkingSet

log = logging.getLogger(__name__)

ROOM_AHEAD = 1_000_000
"""Positions for which table partitions exist ahead of need."""
ROOM_RETRY = 1_000
"""Positions after which making them is tried again."""

DOUBTFUL = 50
"""Batches whose commands are looked up first: after a take-over and after a repeat, for repeats
come together."""

BUSY: dict[str, object] = {"retry_after_ms": 1000}

committed_events = counter("ledger_events_total", "Events appended to the log")
batches = counter("ledger_batches_total", "Append statements that committed")
room_failures = counter("ledger_room_failures_total", "Ranges of the log that could not be made")
rejected = counter("ledger_rejected_total", "Commands the database refused alone")

Reply = Callable[[Sequence[tuple[str, bytes]], str], Awaitable[None]]
"""((subject, reply) pairs, ledger time) → sends them; never fails, lost ones are asked again."""
Committed = Callable[[list[EventRow]], Awaitable[None]]


class NotLeading(Exception):
    """This process must not write this partition any more: it ends and starts anew."""


class CannotWrite(NotLeading):
    """The database is full or read-only: what waits is answered Busy and leading is given up."""


class Writer:
    """Owns the end of one partition's log.

    Raises NotLeading when another writer took a position, when nothing can be written, and when
    the outcome of an append is unknown: only a fresh start, which reads the log, is safe then.
    """

    def __init__(
        self,
        store: Store,
        working: WorkingSet,
        queue: CommandQueue,
        clock: Clock,
        *,
        incarnation: int,
        reply: Reply,
        committed: Committed,
    ) -> None:
        self.store = store
        self.working = working
        self.queue = queue
        self.clock = clock
        self.incarnation = incarnation
        self.position = 0
        self.last_at = datetime.fromtimestamp(0, UTC)
        self._reply = reply
        self._committed = committed
        self._room = 0
        self._doubtful = DOUBTFUL
        self._ahead = Ahead(queue, self.moment)
        self._alone = False
        """While commands are tried one by one: nothing may be decided between them."""
        self._wanted: Incarnation | None = None

    async def take_over(self) -> None:
        """Read where the log ends and what is open. Only after the lock is held."""
        self.position, occurred_at, incarnation = await self.store.last_event()
        if occurred_at is not None:
            self.last_at = max(self.last_at, from_text(occurred_at))
        self._doubtful = DOUBTFUL
        # The log itself says which life it lives: no other place could be restored without it.
        self.incarnation = max(self.incarnation, incarnation or 0)
        open_reservations = await self.store.open_reservations()
        # At once: expiry runs beside this, and must never see a reservation missing that is open.
        self.working.forget()
        self.working.hold(open_reservations)
        terms, end = await self.store.catalogues(), await self.store.stream_end(self.incarnation)
        self.working.know(terms, end)
        await self._ensure_room()

    async def run(self, drained: asyncio.Event) -> None:
        """Work until the intake is closed (then wake the queue) and the queue is empty."""
        while not (drained.is_set() and self.queue.empty):
            if self._wanted is not None:
                self._ahead.forget()
                await self._begin(self._wanted)
                self._wanted = None
            if self.queue.empty:
                await self.queue.wait()
                continue
            begun = self._ahead.take()
            await self.step(self.queue.take(), begun)

    async def step(self, pendings: Sequence[Pending], begun: Batch | None = None) -> None:
        """One batch: all of it committed and answered, or each command found its own answer.

        `begun`: a batch at the log's end in which the first of the commands are decided already.
        """
        try:
            await self._process(pendings, begun)
        except asyncpg.PostgresError as error:
            if not is_definite(error, self.store.connection):
                raise NotLeading(f"the outcome of an append is unknown: {error!r}") from error
            if is_fenced(error):
                raise NotLeading("another writer took this position") from error
            if is_full(error):
                await self._answer_all(pendings, "Busy", BUSY)
                raise CannotWrite(f"the database cannot write: {error}") from error
            await self._one_by_one(pendings, error)

    def want(self, incarnation: Incarnation) -> None:
        """Ask for a new life of the log; it begins between two batches."""
        self._wanted = incarnation
        self.queue.wake()

    async def _begin(self, wanted: Incarnation) -> None:
        """Write the first event of a new life, which nothing of the old one can follow."""
        moment = self.now()
        end = Log(self.store.partition, self.incarnation, self.position)
        try:
            started = await begin(self.store.connection, end, self.working.stream, wanted, moment)
        except asyncpg.PostgresError as error:
            raise NotLeading(f"incarnation {wanted.number} could not begin: {error!r}") from error
        if started is None:
            return
        self.position, self.last_at = started[0], moment.at
        self.incarnation = wanted.number
        self.working.stream = Slot(None, started[2], started[5], started[0])
        log.warning("partition %d: incarnation %d begins at position %d",
                    end.partition, wanted.number, self.position)  # fmt: skip
        committed_events.inc()
        await self._committed([started])
        await self._ensure_room()

    def now(self) -> Moment:
        """max(clock, last occurred_at): the log's time never runs backwards."""
        return self.moment(self.last_at)

    def moment(self, not_before: datetime) -> Moment:
        """The ledger's time, which never runs backwards from there."""
        at = max(self.clock.now(), not_before)
        return Moment(at, to_text(at))

    async def _process(
        self, pendings: Sequence[Pending], begun: Batch | None, *, look_first: bool = False
    ) -> None:
        look_first = look_first or self._doubtful > 0
        self._doubtful = max(0, self._doubtful - 1)
        batch, proven = await self._decided(pendings, begun, look_first=look_first)
        written = batch.columns.events
        if written:
            batch.finish()
            try:
                await self._append(batch)
            except asyncpg.UniqueViolationError as error:
                if look_first or not is_repeat(error):
                    raise
                self._doubtful = DOUBTFUL
                return await self._process(pendings, None, look_first=True)
        elif not proven:
            # A zombie's decisions must not leave either: prove that the lock still lives.
            await self.store.still_leads()
        self.working.merge(batch.overlay)
        self._ahead.merged()
        if written:
            await self._committed(written)
        await self._reply(batch.replies, batch.now.text)
        fault("before_reply")
        if written:
            await self._ensure_room()
        return None

    async def _append(self, batch: Batch) -> None:
        """Append a batch, while commands that came meanwhile are decided on top of it."""
        if self._doubtful == 0 and self._wanted is None and not self._alone:
            self._ahead.start(batch)
        try:
            await self.store.append(batch.columns)
        except BaseException:
            self._ahead.forget()
            raise
        finally:
            self._ahead.stop()
        fault("after_append")
        self.position = batch.position
        self.last_at = batch.now.at
        batches.inc()
        committed_events.inc(len(batch.columns.events))

    async def _decided(
        self, pendings: Sequence[Pending], begun: Batch | None, *, look_first: bool
    ) -> tuple[Batch, bool]:
        """The batch decided, and whether a statement has succeeded since its last decision.

        The key of the commands table guards what is accepted: a repeat that is not remembered
        fails the append, and the batch is run again with its commands looked up (ADR-0004). What
        would be refused has no such guard, so the log is asked for it before the refusal stands.
        """
        looked: set[CommandKey] = set()
        if look_first:
            looked = {p.key for p in pendings if p.key not in self.working.commands}
        known = await self.store.commands(list(looked)) if looked else {}
        while True:
            rest = pendings[begun.decided :] if begun else pendings
            loaded = await load(self.store, self.working, rest, known)
            batch = self._continued(begun, loaded) if begun else self._new_batch(loaded)
            for pending in rest:
                batch.run(pending)
            refused = [key for key in batch.refused if key not in looked]
            if not refused:
                return batch, False
            looked.update(refused)
            found = await self.store.commands(refused)
            if not found:
                return batch, True
            known, begun = {**known, **found}, None

    def _new_batch(self, loaded: Loaded) -> Batch:
        end = Log(self.store.partition, self.incarnation, self.position)
        return Batch(self.working, loaded, end, self.now())

    def _continued(self, begun: Batch, loaded: Loaded) -> Batch:
        if begun.log.position != self.position:
            raise AssertionError(f"begun at {begun.log.position}, not at {self.position}")
        begun.loaded = loaded
        begun.at(self.moment(begun.now.at))
        return begun

    async def _one_by_one(self, pendings: Sequence[Pending], error: asyncpg.PostgresError) -> None:
        """A definite failure: forget the cache, then each alone, so that only the culprit fails."""
        log.error("append of %d commands refused: %s %s", len(pendings), error.sqlstate, error)
        await self.take_over()
        if len(pendings) == 1:
            rejected.inc()
            await self._answer_all(pendings, "RejectedByStore", {"sqlstate": error.sqlstate or ""})
            return
        self._alone = True
        try:
            for number, pending in enumerate(pendings):
                try:
                    await self.step([pending])
                except CannotWrite:
                    await self._answer_all(pendings[number + 1 :], "Busy", BUSY)
                    raise
        finally:
            self._alone = False

    async def refuse_waiting(self) -> None:
        """Answer Busy to all that is queued; whoever leads next decides it."""
        while pendings := self.queue.take():
            await self._answer_all(pendings, "Busy", BUSY)

    async def _answer_all(
        self, pendings: Sequence[Pending], reply: str, data: dict[str, object]
    ) -> None:
        replies = []
        for pending in pendings:
            if pending.reply_to is not None:
                answer = unwritten(reply, pending.command.account_id, self.incarnation, data)
                replies.append((pending.reply_to, orjson.dumps(answer)))
        await self._reply(replies, self.now().text)

    async def _ensure_room(self) -> None:
        if self.position + ROOM_AHEAD // 2 > self._room:
            await self._make_room(self.position + ROOM_AHEAD)

    async def _make_room(self, up_to: int) -> None:
        """Have ranges made. What was appended stands, so failing here is an alert and no more."""
        try:
            await self.store.make_room(up_to)
        except asyncpg.PostgresError as error:
            if not is_definite(error, self.store.connection):
                raise
            if is_full(error):
                raise CannotWrite(f"the database cannot write: {error}") from error
            room_failures.inc()
            log.exception("no ranges of the log could be made up to %d", up_to)
            up_to = self.position + ROOM_AHEAD // 2 + ROOM_RETRY
        self._room = up_to
