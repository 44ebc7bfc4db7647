"""Frames survive torn tails, damage and a second owner."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import journal_file
from services.gateway.journal_file import MARK, Contents, JournalFile, frame, read

pytestmark = pytest.mark.requirement("RSV-6")

RECORDS = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * n) for n in range(1, 6)]
WHOLE = b"".join(map(frame, RECORDS))


def test_what_was_written_is_read():
    assert read(WHOLE) == Contents(RECORDS, damaged=False)
    assert read(b"") == Contents([], damaged=False)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_tail_torn_at_any_byte_is_ignored(length: int):
    ends = [len(b"".join(map(frame, RECORDS[:count]))) for count in range(len(RECORDS) + 1)]
    whole = max(count for count, end in enumerate(ends) if end <= length)
    assert read(WHOLE[:length]) == Contents(RECORDS[:whole], damaged=False)


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_damage_at_any_byte_costs_one_record_and_is_noticed(at: int):
    raw = bytearray(WHOLE)
    raw[at] ^= 0x5A
    found = read(bytes(raw))
    lost = [record for record in RECORDS if record not in found.records]
    assert len(lost) == 1
    assert found.records == [record for record in RECORDS if record not in lost]
    # The last record damaged looks like a torn tail; anything before it is noticed.
    assert found.damaged == (lost != [RECORDS[-1]])


def test_zeros_where_the_disk_was_not_written_are_a_torn_tail():
    raw = WHOLE[: -len(frame(RECORDS[-1]))] + bytes(4096)
    assert read(raw) == Contents(RECORDS[:-1], damaged=False)


def test_a_mark_inside_a_record_is_no_frame():
    records = [MARK + b"abc", b"x" + MARK * 3]
    assert read(b"".join(map(frame, records))) == Contents(records, damaged=False)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(raw: bytes):
    assert read(raw + WHOLE).records[-len(RECORDS) :] == RECORDS


@pytest.mark.parametrize("record", [b"", b"x" * (journal_file.LONGEST + 1)])
def test_what_could_not_be_read_again_is_not_written(record: bytes):
    with pytest.raises(ValueError, match="record of"):
        frame(record)


class TestOwners:
    def test_a_file_has_one_owner_at_a_time(self, tmp_path: Path):
        own = JournalFile.create(tmp_path)
        own.append(frame(b"a"))
        assert JournalFile.adopt(own.path) is None
        own.close()
        next_one = JournalFile.adopt(own.path)
        assert next_one is not None
        assert next_one.contents().records == [b"a"]
        assert JournalFile.adopt(own.path) is None
        next_one.finish()
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_gone_is_not_adopted(self, tmp_path: Path):
        own = JournalFile.create(tmp_path)
        own.finish()
        assert JournalFile.adopt(own.path) is None

    def test_a_file_finished_while_it_was_being_opened_is_not_adopted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """The second of two adopters opened the file before the first removed it."""
        own = JournalFile.create(tmp_path)
        lock = journal_file.fcntl.flock

        def slow(descriptor: int, how: int) -> None:
            own.finish()
            lock(descriptor, how)

        monkeypatch.setattr(journal_file.fcntl, "flock", slow)
        assert JournalFile.adopt(own.path) is None

    def test_a_damaged_file_is_put_aside_and_not_removed(self, tmp_path: Path):
        own = JournalFile.create(tmp_path)
        own.append(WHOLE)
        own.damaged = True
        own.finish()
        [kept] = tmp_path.iterdir()
        assert kept.suffix == journal_file.DAMAGED
        assert kept.read_bytes() == WHOLE

    def test_a_file_that_cannot_be_locked_is_not_left_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(journal_file.fcntl, "flock", refuse)
        with pytest.raises(OSError, match="no locks"):
            JournalFile.create(tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestFullDisk:
    def test_a_write_that_fails_halfway_leaves_the_file_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        own = JournalFile.create(tmp_path)
        own.append(frame(b"first"))
        write = os.write
        state = {"calls": 0}

        def full(descriptor: int, data: memoryview) -> int:
            state["calls"] += 1
            if state["calls"] > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[:5])

        monkeypatch.setattr(journal_file.os, "write", full)
        with pytest.raises(OSError, match="No space"):
            own.append(frame(b"second"))
        monkeypatch.undo()
        assert not own.broken
        own.append(frame(b"third"))
        assert own.contents() == Contents([b"first", b"third"], damaged=False)
        own.close()

    def test_a_file_whose_end_is_unknown_takes_nothing_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        own = JournalFile.create(tmp_path)

        def fail(*_: object) -> None:
            raise OSError(errno.EIO, "input/output error")

        monkeypatch.setattr(journal_file.os, "fsync", fail)
        with pytest.raises(OSError, match="input/output"):
            own.append(frame(b"a"))
        monkeypatch.undo()
        assert own.broken
        own.close()


def test_all_is_on_disk_before_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = JournalFile.create(tmp_path)
    seen: list[bytes] = []
    monkeypatch.setattr(journal_file.os, "fsync", lambda _: seen.append(own.path.read_bytes()))
    own.append(frame(b"a"))
    assert seen == [frame(b"a")]
    monkeypatch.undo()
    own.close()
