"""A route that keeps failing is left alone, and one call finds out when it is well again."""

import pytest

from services.gateway.breaker import LONGEST_PAUSE_S, Breaker

pytestmark = pytest.mark.requirement("PRC-6")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, failures=3, pause_s=10)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(probe=breaker.enter())


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not(breaker: Breaker):
    fail(breaker, 2)
    breaker.succeeded(probe=False)
    fail(breaker, 2)
    assert (breaker.state, breaker.lets_in) == ("closed", True)
    fail(breaker, 1)
    assert (breaker.state, breaker.lets_in) == ("open", False)


def test_half_of_many_calls_failing_opens_it(breaker: Breaker):
    for _ in range(9):
        fail(breaker, 1)
        breaker.succeeded(probe=False)
    fail(breaker, 1)
    assert breaker.state == "closed"  # 10 of 19: too few to say
    fail(breaker, 1)
    assert breaker.state == "open"


def test_failures_long_ago_do_not_count(breaker: Breaker, clock: Clock):
    for _ in range(9):
        fail(breaker, 1)
        breaker.succeeded(probe=False)
    clock.now += 31
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_after_the_pause_one_call_goes_and_closes_it(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 9.9
    assert not breaker.lets_in
    clock.now += 0.1
    assert (breaker.state, breaker.lets_in) == ("half_open", True)
    assert breaker.enter()
    assert not breaker.lets_in
    assert not breaker.enter()
    breaker.succeeded(probe=True)
    assert breaker.state == "closed"


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit(
    breaker: Breaker, clock: Clock
):
    fail(breaker, 3)
    for pause in (20, 40, 80, 80):
        assert breaker.open_until is not None
        clock.now = breaker.open_until
        fail(breaker, 1)
        assert breaker.open_until == clock.now + pause


def test_a_probe_whose_client_leaves_says_nothing_and_the_next_one_goes(
    breaker: Breaker, clock: Clock
):
    fail(breaker, 3)
    clock.now += 10
    breaker.left(probe=breaker.enter())
    assert breaker.lets_in


def test_it_opens_at_once_for_as_long_as_the_upstream_asks(breaker: Breaker, clock: Clock):
    breaker.failed(probe=False, pause_s=25)
    assert breaker.open_until == clock.now + 25
    assert not breaker.lets_in


def test_an_upstream_cannot_ask_to_be_left_for_ever(breaker: Breaker, clock: Clock):
    breaker.failed(probe=False, pause_s=10**9)
    assert breaker.open_until == clock.now + LONGEST_PAUSE_S


def test_a_call_that_began_before_it_opened_changes_nothing(breaker: Breaker):
    fail(breaker, 3)
    until = breaker.open_until
    breaker.failed(probe=False)
    breaker.succeeded(probe=False)
    assert breaker.open_until == until
