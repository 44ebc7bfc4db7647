"""One file of a journal: framed records, one owner at a time by a lock on the file.

A frame is a mark, the length and the CRC-32 of length and record, the record. The mark's first
byte occurs in no UTF-8 text, so a reader finds the next frame after a damaged one.
"""

import fcntl
import os
import struct
import uuid
import zlib
from pathlib import Path
from typing import Final, NamedTuple, Self

MARK: Final = b"\xf5FBJ"
SUFFIX: Final = ".journal"
DAMAGED: Final = ".damaged"
LONGEST: Final = 1 << 20

_HEAD: Final = struct.Struct(">4sII")
_LENGTH: Final = struct.Struct(">I")


class Contents(NamedTuple):
    """What a file holds. `damaged`: bytes between records that are not a record."""

    records: list[bytes]
    damaged: bool


def frame(record: bytes) -> bytes:
    """A record as it stands in the file."""
    if not 0 < len(record) <= LONGEST:
        raise ValueError(f"a record of {len(record)} bytes")
    return _HEAD.pack(MARK, len(record), _crc(record)) + record


def read(raw: bytes) -> Contents:
    """The records in the bytes of a file; what a crash left of the last write is ignored."""
    records: list[bytes] = []
    damaged, at, end = False, 0, 0
    while (at := raw.find(MARK, at)) >= 0:
        record = _record_at(raw, at)
        if record is None:
            at += 1
            continue
        damaged = damaged or at != end
        records.append(record)
        at = end = at + _HEAD.size + len(record)
    return Contents(records, damaged)


def _record_at(raw: bytes, at: int) -> bytes | None:
    if len(raw) - at < _HEAD.size:
        return None
    _, length, crc = _HEAD.unpack_from(raw, at)
    start = at + _HEAD.size
    if not 0 < length <= LONGEST or len(raw) - start < length:
        return None
    record = raw[start : start + length]
    return record if _crc(record) == crc else None


def _crc(record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(_LENGTH.pack(len(record))))


class JournalFile:
    """An open, locked file. All methods block; they are called in the journal's thread."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.size = size
        self.broken = False
        """The end of the file is not known: nothing may be appended to it."""
        self.damaged = False
        """It holds something that could not be read: it is kept for a person to look at."""
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A new file, locked before anybody can see it under its name.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
            _sync_folder(folder)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, 0)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """A file whose owner is gone; None when it has an owner, or another one took it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if status.st_nlink == 0 or not path.exists():
            # Another one adopted it, finished it and removed it, or put it aside.
            os.close(descriptor)
            return None
        return cls(path, descriptor, status.st_size)

    def contents(self) -> Contents:
        with self.path.open("rb") as file:
            return read(file.read())

    def append(self, frames: bytes) -> None:
        """Write and fsync; on failure the file ends where it ended before.

        Raises:
            OSError: nothing was kept.
        """
        try:
            rest = memoryview(frames)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            self._cut_back()
            raise
        self.size += len(frames)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
        except OSError:
            self.broken = True

    def clear(self) -> None:
        """Forget all records: every one of them is answered."""
        os.ftruncate(self._descriptor, 0)
        os.fsync(self._descriptor)
        self.size = 0

    def finish(self) -> None:
        """Remove the file, or put it aside when it is damaged, and let go of it."""
        if self.damaged:
            self.path.rename(self.path.with_suffix(DAMAGED))
        else:
            self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """Let go of the file; whoever comes next adopts it."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
