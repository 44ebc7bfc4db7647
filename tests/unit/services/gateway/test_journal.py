"""What is in the journal stays there until it is answered, whoever works it off."""

import asyncio
import errno
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.runtime.clock import ManualClock
from services.gateway import journal as module
from services.gateway.journal import Journal
from services.gateway.journal_file import DAMAGED, JournalFile, frame, read

pytestmark = pytest.mark.requirement("RSV-6")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, tzinfo=UTC))


async def opened(folder: Path, clock: ManualClock, **options) -> Journal:
    journal = Journal(folder, clock, **options)
    await journal.open()
    return journal


def records(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("*.journal"))
    return [record for file in files for record in read(file.read_bytes()).records]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_a_record_is_on_disk_when_append_returns(tmp_path: Path, clock: ManualClock):
    journal = await opened(tmp_path, clock)
    await journal.append(b"a")
    assert records(tmp_path) == [b"a"]
    assert [entry.record for entry in journal.entries()] == [b"a"]
    await journal.close()


async def test_many_at_once_share_an_fsync(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    journal = await opened(tmp_path, clock)
    writes: list[bytes] = []
    append = JournalFile.append

    def count(file: JournalFile, frames: bytes) -> None:
        writes.append(frames)
        append(file, frames)

    monkeypatch.setattr(JournalFile, "append", count)
    await asyncio.gather(*[journal.append(b"%d" % n) for n in range(100)])
    assert len(writes) < 5
    assert records(tmp_path) == [b"%d" % n for n in range(100)]
    await journal.close()


async def test_the_file_is_cleared_only_when_all_is_answered(tmp_path: Path, clock: ManualClock):
    journal = await opened(tmp_path, clock)
    await journal.append(b"a")
    await journal.append(b"b")
    first, second = journal.entries()
    journal.answered(second)
    await journal.tend()
    assert records(tmp_path) == [b"a", b"b"]
    journal.answered(first)
    await journal.tend()
    assert records(tmp_path) == []
    await journal.append(b"c")
    assert records(tmp_path) == [b"c"]
    await journal.close()


async def test_what_is_unanswered_at_the_end_is_adopted_by_the_next(
    tmp_path: Path, clock: ManualClock
):
    journal = await opened(tmp_path, clock)
    await journal.append(b"a")
    await journal.close()
    following = await opened(tmp_path, clock)
    [entry] = following.entries()
    assert entry.record == b"a"
    following.answered(entry)
    await following.tend()
    assert len(files(tmp_path)) == 1  # its own
    await following.close()
    assert files(tmp_path) == []


async def test_a_living_process_keeps_its_file(tmp_path: Path, clock: ManualClock):
    journal = await opened(tmp_path, clock)
    await journal.append(b"a")
    other = await opened(tmp_path, clock)
    assert other.entries() == []
    await other.close()
    assert records(tmp_path) == [b"a"]
    await journal.close()


async def test_of_several_processes_one_adopts(tmp_path: Path, clock: ManualClock):
    gone = JournalFile.create(tmp_path)
    gone.append(frame(b"a") + frame(b"b"))
    gone.close()
    journals = [Journal(tmp_path, clock) for _ in range(8)]
    await asyncio.gather(*[journal.open() for journal in journals])
    found = [entry.record for journal in journals for entry in journal.entries()]
    assert found == [b"a", b"b"]
    for journal in journals:
        for entry in journal.entries():
            journal.answered(entry)
    await asyncio.gather(*[journal.tend() for journal in journals])
    for journal in journals:
        await journal.close()
    assert files(tmp_path) == []


async def test_an_adopter_that_dies_hands_the_file_on(tmp_path: Path, clock: ManualClock):
    gone = JournalFile.create(tmp_path)
    gone.append(frame(b"a"))
    gone.close()
    first = await opened(tmp_path, clock)
    second = await opened(tmp_path, clock)
    assert (len(first.entries()), second.entries()) == (1, [])
    await first.close()
    await second.tend()
    assert [entry.record for entry in second.entries()] == [b"a"]
    await second.close()


async def test_a_torn_tail_is_ignored_and_the_rest_kept(tmp_path: Path, clock: ManualClock):
    gone = JournalFile.create(tmp_path)
    gone.append(frame(b"a") + frame(b"b")[:-1])
    gone.close()
    journal = await opened(tmp_path, clock)
    [entry] = journal.entries()
    assert entry.record == b"a"
    journal.answered(entry)
    await journal.tend()
    assert records(tmp_path) == []
    await journal.close()


async def test_a_damaged_file_is_worked_off_and_then_kept_aside(tmp_path: Path, clock: ManualClock):
    gone = JournalFile.create(tmp_path)
    gone.append(frame(b"a") + b"rubbish" + frame(b"b"))
    gone.close()
    journal = await opened(tmp_path, clock)
    assert [entry.record for entry in journal.entries()] == [b"a", b"b"]
    for entry in journal.entries():
        journal.answered(entry)
    await journal.tend()
    await journal.close()
    [kept] = files(tmp_path)
    assert kept.suffix == DAMAGED


class TestTrouble:
    async def test_a_failed_write_is_told_and_heals(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ):
        journal = await opened(tmp_path, clock)
        await journal.append(b"a")

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(JournalFile, "append", full)
        with pytest.raises(OSError, match="No space"):
            await journal.append(b"b")
        assert "No space" in str(journal.problem())
        monkeypatch.undo()
        await journal.append(b"c")
        await journal.tend()
        assert journal.problem() is None
        assert records(tmp_path) == [b"a", b"c"]
        await journal.close()

    async def test_a_failure_nobody_foresaw_leaves_no_append_waiting(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ):
        journal = await opened(tmp_path, clock)

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(JournalFile, "append", broken)
        async with asyncio.timeout(5):
            told = await asyncio.gather(
                *[journal.append(b"%d" % n) for n in range(3)], return_exceptions=True
            )
        assert [type(error) for error in told] == [OSError] * 3
        assert "a bug" in str(journal.problem())
        assert journal.entries() == []
        monkeypatch.undo()
        await journal.tend()
        assert journal.problem() is None
        await journal.append(b"c")
        assert records(tmp_path) == [b"c"]
        await journal.close()

    async def test_it_is_not_well_again_before_a_write_has_worked(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ):
        journal = await opened(tmp_path, clock)

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(JournalFile, "append", broken)
        with pytest.raises(OSError, match="a bug"):
            await journal.append(b"a")
        await journal.tend()
        assert "a bug" in str(journal.problem())
        monkeypatch.undo()
        await journal.close()

    async def test_a_writer_that_is_stopped_leaves_no_append_waiting(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ):
        journal = await opened(tmp_path, clock)
        started, going_on = threading.Event(), threading.Event()

        def slow(*_: object) -> None:
            started.set()
            going_on.wait(5)

        monkeypatch.setattr(JournalFile, "append", slow)
        waiting = asyncio.create_task(journal.append(b"a"))
        await asyncio.to_thread(started.wait, 5)
        tasks = asyncio.all_tasks() - {asyncio.current_task(), waiting}
        [flushing] = [task for task in tasks if "_flush" in repr(task)]
        flushing.cancel()
        with pytest.raises(OSError, match="stopped"):
            async with asyncio.timeout(5):
                await waiting
        going_on.set()
        await asyncio.wait({flushing})
        await journal.close()

    async def test_little_space_left_is_trouble_before_a_write_fails(
        self, tmp_path: Path, clock: ManualClock
    ):
        journal = await opened(tmp_path, clock, min_free=2**62)
        assert "bytes left" in str(journal.problem())
        await journal.close()

    async def test_a_file_with_an_unknown_end_is_left_for_a_new_one(
        self, tmp_path: Path, clock: ManualClock
    ):
        journal = await opened(tmp_path, clock)
        await journal.append(b"a")
        [first] = journal.entries()
        first.file.broken = True
        await journal.append(b"b")
        assert sorted(records(tmp_path)) == [b"a", b"b"]
        assert len(files(tmp_path)) == 2
        journal.answered(first)
        await journal.tend()
        assert records(tmp_path) == [b"b"]
        await journal.close()

    async def test_a_file_does_not_grow_for_ever(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(module, "_FILE_MAX", 10)
        journal = await opened(tmp_path, clock)
        for record in (b"a", b"b", b"c"):
            await journal.append(record)
        assert sorted(records(tmp_path)) == [b"a", b"b", b"c"]
        for entry in journal.entries():
            journal.answered(entry)
        await journal.tend()
        assert len(files(tmp_path)) == 1
        await journal.close()

    async def test_a_closed_journal_takes_nothing(self, tmp_path: Path, clock: ManualClock):
        journal = Journal(tmp_path, clock)
        assert journal.problem() == "not open"
        await journal.open()
        await journal.close()
        assert journal.problem() == "closed"


async def test_depth_and_age_can_be_read(tmp_path: Path, clock: ManualClock):
    journal = await opened(tmp_path, clock)
    assert journal.age() == 0
    await journal.append(b"a")
    clock.advance(7)
    assert journal.age() == 7
    await journal.close()
