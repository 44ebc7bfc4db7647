from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.runtime.clock import ManualClock, SystemClock

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_manual_clock_moves_both_its_hands_together():
    clock = ManualClock(START)
    before = clock.monotonic()
    clock.advance(1.5)
    assert clock.now() == START + timedelta(seconds=1.5)
    assert clock.monotonic() - before == 1.5


def test_a_manual_clock_speaks_utc():
    clock = ManualClock(START.astimezone(timezone(timedelta(hours=2))))
    assert clock.now().tzinfo is UTC
    assert clock.now() == START


def test_a_naive_start_is_refused():
    with pytest.raises(ValueError):
        ManualClock(START.replace(tzinfo=None))


def test_time_does_not_run_backwards():
    with pytest.raises(ValueError):
        ManualClock(START).advance(-1)


def test_the_system_clock_is_aware():
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
