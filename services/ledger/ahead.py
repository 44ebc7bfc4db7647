"""The batch after the one that is being written: begun while Postgres works (ADR 25)."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from services.ledger.batch import Batch
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.state import Moment

CHUNK = 32
"""Commands decided before the event loop may turn: a few milliseconds at most."""


class Ahead:
    """Decides queued commands on top of a batch whose append is still running.

    Only while everything they need is in memory: the first command that needs a read stops it.
    Nothing of it is answered before the batch it becomes has been appended itself. When the
    append it stands on fails, its decisions are dropped and its commands are decided anew.
    """

    def __init__(self, queue: CommandQueue, moment: Callable[[datetime], Moment]) -> None:
        self._queue = queue
        self._moment = moment
        self._below: Batch | None = None
        self._batch: Batch | None = None
        self._error: Exception | None = None
        self._scheduled = False

    def start(self, below: Batch) -> None:
        """Decide on top of this batch from now on. What was decided before was taken."""
        self._below = below
        self._queue.listener = self._nudge
        self._nudge()

    def stop(self) -> None:
        """Decide no more: what was decided until now is the next batch's beginning."""
        self._below = None
        self._queue.listener = None

    def merged(self) -> None:
        """What it stands on is part of the committed state from here on."""
        if self._batch is not None:
            self._batch.overlay.under = None

    def forget(self) -> None:
        """What it would stand on did not come to be: the commands stay, their decisions do not."""
        self._batch, self._error = None, None

    def take(self) -> Batch | None:
        """The batch in which the first of the queue's next batch are decided, if they are.

        Raises what deciding raised: a defect of this program.
        """
        if self._error is not None:
            raise self._error
        batch, self._batch = self._batch, None
        return batch

    def _nudge(self) -> None:
        if not self._scheduled and self._queue.first() is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        self._scheduled = False
        if self._below is None:
            return
        try:
            batch = self._batch = self._batch or self._below.following()
            batch.at(self._moment(batch.now.at))  # an append may take long; deadlines go on
            if self._decide(batch):
                self._nudge()
            else:
                self.stop()
        except Exception as error:  # noqa: BLE001 (the writer raises it where it is awaited)
            self._error = error
            self.stop()

    def _decide(self, batch: Batch) -> bool:
        """Decide what waits, so much of it; False when the next has to wait for the append."""
        for _ in range(CHUNK):
            pending = self._queue.first()
            if pending is None:
                break
            if not batch.knows(pending):
                return False
            self._queue.pass_first()
            batch.run(pending)
        return True
