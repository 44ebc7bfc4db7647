"""Where commands wait that the ledger has not answered: on disk, before the client's last byte.

A command is kept until a final reply was given to it (RSV-6). Files of processes that are gone are
adopted, by one process at a time; nothing is removed while a record in the same file is unanswered.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from libs.runtime import metrics
from libs.runtime.clock import Clock
from services.gateway.journal_file import SUFFIX, JournalFile, frame

log = logging.getLogger(__name__)
T = TypeVar("T")

_FILE_MAX: Final = 8 * 1024 * 1024


@dataclass(eq=False, slots=True)
class Entry:
    """A record that waits for its final reply; `since` is monotonic seconds."""

    file: JournalFile
    record: bytes
    since: float


_Waiting = tuple[bytes, asyncio.Future[None]]


class Journal:
    """The journal of one worker. `open` before use, `close` after."""

    def __init__(self, folder: Path, clock: Clock, *, min_free: int = 0) -> None:
        self._folder = folder
        self._clock = clock
        self._min_free = min_free
        self._thread = ThreadPoolExecutor(1, "journal")  # one thread: the files' order is ours
        self._own: JournalFile | None = None
        self._others: list[JournalFile] = []
        self._entries: dict[Entry, None] = {}
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._trouble: str | None = "not open"
        self._unproven = False
        metrics.gauge(
            "journal_depth", "Commands that wait for an answer.", read=lambda: len(self._entries)
        )
        metrics.gauge("journal_age_seconds", "Age of the oldest of those commands.", read=self.age)

    async def open(self) -> None:
        """Make this worker's file and adopt those of the dead; raises OSError if it cannot."""
        await self._in_thread(lambda: self._folder.mkdir(parents=True, exist_ok=True, mode=0o700))
        self._own = await self._in_thread(lambda: JournalFile.create(self._folder))
        self._trouble = None
        await self.tend()

    async def close(self) -> None:
        """Let go of all files; what is unanswered waits there for the next process."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        for file in [*self._others, *([self._own] if self._own else [])]:
            done = not self._unanswered(file) and not file.damaged
            await self._in_thread(file.finish if done else file.close)
        self._own, self._others = None, []
        self._trouble = "closed"
        self._thread.shutdown()

    def problem(self) -> str | None:
        """Why nothing can be kept, or None."""
        return self._trouble

    def age(self) -> int:
        """Seconds that the oldest entry has waited."""
        oldest = min((entry.since for entry in self._entries), default=None)
        return 0 if oldest is None else int(self._clock.monotonic() - oldest)

    async def append(self, record: bytes) -> None:
        """Keep a record until it is answered; on return it is on disk.

        Raises:
            OSError: it could not be kept.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await written

    def entries(self) -> list[Entry]:
        """What waits for an answer, in the order in which it is to be tried."""
        return list(self._entries)

    def answered(self, entry: Entry) -> None:
        """A final reply came; the record is not needed any more."""
        self._entries.pop(entry, None)

    def postpone(self, entry: Entry) -> None:
        """Try the entry after all others next time."""
        self._entries.pop(entry, None)
        self._entries[entry] = None

    async def tend(self) -> None:
        """Adopt files without owner, remove what is answered, look at the disk."""
        await self._adopt()
        for file in self._others[:]:
            if not self._unanswered(file):
                self._others.remove(file)
                await self._in_thread(file.finish)
        own = self._own
        idle = not self._waiting and (self._flushing is None or self._flushing.done())
        done = own is not None and not self._unanswered(own) and not own.damaged
        try:
            if own is not None and own.size and idle and done:
                await self._in_thread(own.clear)
            self._trouble = await self._in_thread(self._probe)
        except OSError as error:
            self._trouble = f"the journal cannot be written: {error}"
        except Exception as error:
            log.exception("the journal failed")
            self._trouble = f"the journal cannot be written: {error}"

    async def _flush(self) -> None:
        """Write all that waits in one go, again and again until nothing waits: one fsync each."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                frames = b"".join([frame(record) for record, _ in batch])
                file = await self._in_thread(partial(self._write, frames))
            except asyncio.CancelledError:
                self._not_kept([*batch, *self._waiting], OSError("the journal was stopped"))
                raise
            except OSError as error:
                self._not_kept(batch, error)
            except Exception as error:
                # Nobody foresaw this one. Whoever waits has to know: it would wait for ever.
                log.exception("the journal failed")
                self._doubt()
                self._not_kept(batch, OSError(f"{type(error).__name__}: {error}"))
            else:
                self._kept(batch, file)

    def _kept(self, batch: list[_Waiting], file: JournalFile) -> None:
        for record, written in batch:
            self._entries[Entry(file, record, self._clock.monotonic())] = None
            if not written.done():
                written.set_result(None)

    def _not_kept(self, batch: list[_Waiting], error: OSError) -> None:
        self._trouble = f"the journal cannot be written: {error}"
        log.critical("%s", self._trouble)
        for _, written in batch:
            if not written.done():
                # One for each: an exception remembers where it was raised.
                written.set_exception(OSError(*error.args))

    def _doubt(self) -> None:
        """What a write of unknown outcome left: it ends this file, and a new write has to work."""
        if self._own is not None:
            self._own.broken = True
        self._unproven = True

    def _write(self, frames: bytes) -> JournalFile:
        own = self._own
        if own is None:
            raise OSError("the journal is closed")
        if own.broken or own.size > _FILE_MAX:
            fresh = JournalFile.create(self._folder)
            self._others.append(own)
            self._own = own = fresh
        own.append(frames)
        return own

    def _probe(self) -> str | None:
        if self._unproven:
            self._write(b"")
            self._unproven = False
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free:
            return f"the journal's disk has only {free} bytes left"
        return None

    async def _adopt(self) -> None:
        ours = {file.path for file in [*self._others, *([self._own] if self._own else [])]}
        for path in await self._in_thread(lambda: sorted(self._folder.glob(f"*{SUFFIX}"))):
            if path in ours:
                continue
            file = await self._in_thread(partial(JournalFile.adopt, path))
            if file is None:
                continue
            contents = await self._in_thread(file.contents)
            file.damaged = contents.damaged
            if contents.damaged:
                log.critical("journal file %s is damaged; it will be kept", path.name)
            self._others.append(file)
            log.info("adopted journal file %s: %d records", path.name, len(contents.records))
            for record in contents.records:
                self._entries[Entry(file, record, self._clock.monotonic())] = None

    def _unanswered(self, file: JournalFile) -> bool:
        return any(entry.file is file for entry in self._entries)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop: Any = asyncio.get_running_loop()
        result: T = await loop.run_in_executor(self._thread, work)
        return result
