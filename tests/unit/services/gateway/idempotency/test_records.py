"""A worker remembers within its bounds, and forgets nothing that runs."""

from dataclasses import replace
from datetime import UTC, datetime

from libs.runtime.clock import ManualClock
from services.gateway.exchange import Head
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.records import Record, Records


def answer(size: int) -> Answer:
    return Answer("req_1", 200, "1.00", Head(200, (), b"x" * size))


def record(size: int | None = None) -> Record:
    return Record("key_1", "d", 0, "req_1", None if size is None else answer(size))


def records(most: int = 10_000, keep_s: float = 60) -> tuple[Records, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
    return Records(clock, most=most, keep_s=keep_s), clock


def test_the_oldest_answers_go_when_there_are_too_many():
    kept, _ = records(most=10_000)
    for number in range(5):
        kept.end(f"n{number}", record(2_000))
    assert [name for name in map("n{}".format, range(5)) if kept.ended(name)] == ["n2", "n3", "n4"]
    assert kept.size == 3 * (2_000 + 1_024)


def test_what_is_too_old_is_forgotten():
    kept, clock = records(keep_s=60)
    kept.end("old", record(1))
    clock.advance(59)
    kept.end("new", record(1))
    assert kept.ended("old") is not None
    clock.advance(1)
    assert kept.ended("old") is None
    assert kept.ended("new") is not None
    clock.advance(60)
    assert kept.ended("new") is None
    assert kept.size == 0


def test_what_runs_is_never_forgotten():
    kept, clock = records(most=0, keep_s=1)
    kept.begin("a", record())
    clock.advance(100)
    kept.end("b", record(5_000))
    assert kept.running("a") is not None
    assert kept.ended("b") is None
    kept.end("a", record())
    assert kept.running("a") is None


def test_one_that_runs_again_and_ends_again_is_counted_once():
    kept, _ = records()
    for _ in range(3):
        kept.begin("a", record())
        assert kept.ended("a") is None
        kept.end("a", record(100))
    assert kept.size == record(100).size


def test_a_body_above_the_bound_is_not_kept():
    assert answer(100).within(100) == answer(100)
    assert answer(101).within(100) == Answer("req_1", 200, "1.00", None)


def test_what_came_to_nothing_takes_no_room():
    """Else an account without money could push out the answers that others have paid for."""
    kept, _ = records(most=2_000)
    kept.end("paid", record(500))
    for number in range(10):
        kept.begin(f"declined {number}", record())
        kept.end(f"declined {number}", record())
    assert kept.ended("paid") is not None
    assert kept.size == record(500).size


def test_the_number_of_the_next_try_is_remembered():
    kept, _ = records()
    kept.end("failed", replace(record(), attempt=1))
    assert kept.ended("failed") == replace(record(), attempt=1)
