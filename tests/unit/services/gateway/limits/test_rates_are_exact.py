"""The numbers of a rate are those of the simplest model, over any limits and any times."""

from datetime import UTC, datetime
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Limits
from services.gateway.limits.buckets import Buckets
from services.gateway.limits.headers import (
    anthropic_rate_headers,
    ietf_rate_headers,
    openai_rate_headers,
)
from services.gateway.limits.rate import Standing

LIMITS = st.builds(Limits, st.integers(1, 50), st.integers(1_000, 100_000), st.just(1))
STEPS = st.lists(st.integers(0, 60_000) | st.integers(0, 50), max_size=60)


class Tokens:
    """A bucket of tokens as it is drawn on a napkin."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.tokens = limits, Fraction(limits.requests)

    def take(self, elapsed_ms: int) -> Standing:
        n, per = self.limits.requests, self.limits.per_ms
        self.tokens = min(Fraction(n), self.tokens + Fraction(elapsed_ms * n, per))
        wait = 0 if self.tokens >= 1 else ceil((1 - self.tokens) * per / n)
        if not wait:
            self.tokens -= 1
        return Standing(n, per, floor(self.tokens), ceil((n - self.tokens) * per / n), wait)


@pytest.mark.requirement("LIM-1")
@given(LIMITS, STEPS)
def test_every_answer_is_the_models(limits: Limits, steps: list[int]):
    buckets, model, now_ms = Buckets(), Tokens(limits), 0
    for step in steps:
        now_ms += step
        expected = model.take(step)
        assert buckets.take("a", limits, now_ms) == expected
        if expected.wait_ms:
            assert buckets.look("a", limits, now_ms + expected.wait_ms - 1).remaining == 0
            assert buckets.look("a", limits, now_ms + expected.wait_ms).remaining == 1


def test_a_clock_that_goes_back_gives_nothing():
    buckets, limits = Buckets(), Limits(2, 60_000, 1)
    for _ in range(2):
        buckets.take("a", limits, 50_000)
    assert buckets.take("a", limits, 0).wait_ms == 30_000
    assert buckets.take("a", limits, 30_000).wait_ms == 0


def test_accounts_do_not_count_for_each_other_and_a_new_plan_begins_anew():
    buckets, one = Buckets(), Limits(1, 60_000, 1)
    assert buckets.take("a", one, 0).wait_ms == 0
    assert buckets.take("a", one, 0).wait_ms > 0
    assert buckets.take("b", one, 0).wait_ms == 0
    assert buckets.take("a", Limits(2, 60_000, 1), 0).remaining == 1


def test_memory_holds_only_who_called_lately():
    buckets, limits = Buckets(), Limits(10, 60_000, 1)
    for number in range(1000):
        buckets.take(f"account {number}", limits, number * 1000)
    assert len(buckets) <= 8  # one request is forgiven after 6 s


def test_each_dialect_tells_the_same():
    standing = Standing(limit=10, per_ms=60_000, remaining=3, reset_ms=41_250, wait_ms=0)

    def now() -> datetime:
        return datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)

    assert openai_rate_headers(standing, now) == (
        (b"x-ratelimit-limit-requests", b"10"),
        (b"x-ratelimit-remaining-requests", b"3"),
        (b"x-ratelimit-reset-requests", b"41.25s"),
    )
    assert anthropic_rate_headers(standing, now) == (
        (b"anthropic-ratelimit-requests-limit", b"10"),
        (b"anthropic-ratelimit-requests-remaining", b"3"),
        (b"anthropic-ratelimit-requests-reset", b"2026-05-01T12:00:42Z"),
    )
    assert ietf_rate_headers(standing, now) == (
        (b"ratelimit-policy", b'"requests";q=10;w=60'),
        (b"ratelimit", b'"requests";r=3;t=42'),
    )


@pytest.mark.parametrize(
    ("reset_ms", "text"),
    [(0, b"0s"), (12, b"12ms"), (999, b"999ms"), (1000, b"1s"), (6_000, b"6s"), (60_000, b"1m0s"),
     (360_000, b"6m0s"), (90_050, b"1m30.05s"), (86_400_000, b"24h0m0s")],
)  # fmt: skip
def test_a_span_is_written_as_openai_writes_it(reset_ms: int, text: bytes):
    headers = dict(openai_rate_headers(Standing(1, 1000, 0, reset_ms, 0), datetime.now))
    assert headers[b"x-ratelimit-reset-requests"] == text
