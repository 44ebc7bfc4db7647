"""A request goes through its candidates once, in an order whose reason is told."""

from dataclasses import replace

import pytest

from services.gateway.offers import Offer
from services.gateway.routing import Routing, Turn
from tests.unit.services.gateway.offering import offer

pytestmark = pytest.mark.requirement("PRC-6")


class Luck:
    """Shares drawn one after the other; the clock stands still until it is moved."""

    def __init__(self, *shares: float) -> None:
        self.shares = list(shares)
        self.now = 0.0

    def share(self) -> float:
        return self.shares.pop(0)


def several(*names: str, weights: tuple[int, ...] | None = None) -> Offer:
    plain = offer()
    [one] = plain.candidates
    candidates = tuple(
        replace(one, upstream=replace(one.upstream, name=name), weight=weights and weights[index])
        for index, name in enumerate(names)
    )
    return replace(plain, candidates=candidates)


def routing(luck: Luck | None = None, failures: int = 2) -> Routing:
    luck = luck or Luck()
    return Routing(failures=failures, pause_s=10, clock=lambda: luck.now, share=luck.share)


def told(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    return turn.candidate.upstream.name, turn.reason


def break_down(one: Routing, offered: Offer, name: str) -> None:
    [candidate] = [c for c in offered.candidates if c.upstream.name == name]
    breaker = one.health(candidate).breaker
    for _ in range(2):
        breaker.failed(probe=breaker.enter())


def test_one_route_is_the_only_one_also_while_it_fails():
    one, offered = routing(), several("a")
    break_down(one, offered, "a")
    round_ = one.round(offered)
    assert told(round_.first()) == ("a", "only_route")
    assert round_.after("upstream_error") is None


def test_routes_are_tried_in_order_and_each_once():
    round_ = routing().round(several("a", "b", "c"))
    assert told(round_.first()) == ("a", "first")
    assert told(round_.after("upstream_error")) == ("b", "fallback:upstream_error")
    assert told(round_.after("upstream_timeout")) == ("c", "fallback:upstream_timeout")
    assert round_.after("upstream_error") is None


def test_the_first_try_is_shared_out_by_weight():
    offered = several("a", "b", weights=(3, 1))
    luck = Luck(0.0, 0, 0.749, 0, 0.751, 0, 0.999, 0)
    one = routing(luck)
    firsts = [told(one.round(offered).first()) for _ in range(4)]
    assert [name for name, _ in firsts] == ["a", "a", "b", "b"]
    assert {reason for _, reason in firsts} == {"weighted"}


def test_a_route_of_weight_0_is_for_falling_back_only():
    offered = several("a", "b", weights=(0, 1))
    for share in (0.0, 0.5, 0.999):
        round_ = routing(Luck(share, share)).round(offered)
        assert told(round_.first())[0] == "b"
        assert told(round_.after("upstream_error")) == ("a", "fallback:upstream_error")


def test_a_route_that_is_open_is_passed_over():
    one, offered = routing(), several("a", "b", "c")
    break_down(one, offered, "a")
    round_ = one.round(offered)
    assert told(round_.first()) == ("b", "fallback:circuit_open")
    break_down(one, offered, "c")
    assert round_.after("upstream_error") is None


def test_where_all_are_open_the_one_that_closes_soonest_is_tried_alone():
    luck = Luck()
    one, offered = routing(luck), several("a", "b")
    break_down(one, offered, "b")
    luck.now = 5
    break_down(one, offered, "a")
    round_ = one.round(offered)
    first = round_.first()
    assert told(first) == ("b", "last_resort")
    assert round_.after("upstream_error") is None
    first.succeeded()
    assert told(one.round(offered).first()) == ("b", "fallback:circuit_open")


def test_after_its_pause_a_route_is_tried_by_one_request():
    luck = Luck()
    one, offered = routing(luck), several("a", "b")
    break_down(one, offered, "a")
    luck.now = 10
    probe = one.round(offered).first()
    assert told(probe) == ("a", "first")
    assert told(one.round(offered).first()) == ("b", "fallback:circuit_open")
    probe.close()  # its client left
    again = one.round(offered).first()
    assert told(again) == ("a", "first")
    again.succeeded()
    assert told(one.round(offered).first()) == ("a", "first")


def test_when_everything_fails_a_fifth_more_is_asked_and_no_more():
    luck = Luck()
    one, offered = routing(luck, failures=10**6), several("a", "b")
    fallbacks = 0
    for _ in range(1000):
        luck.now += 2  # too slow to open a circuit: it is the budget that is tested
        round_ = one.round(offered)
        round_.first().failed()
        further = round_.after("upstream_error")
        if further is not None:
            fallbacks += 1
            further.failed()
    assert 200 <= fallbacks <= 1000 * 20 // 100 + 10


def test_a_fallback_that_works_is_free():
    one, offered = routing(failures=10**6), several("a", "b")
    for _ in range(15):
        round_ = one.round(offered)
        round_.first().failed()
        further = round_.after("upstream_error")
        assert further is not None
        further.succeeded()


def test_a_try_that_answered_and_then_broke_is_a_failure_but_costs_no_budget():
    one, offered = routing(), several("a", "b")
    for _ in range(2):
        round_ = one.round(offered)
        turn = round_.first()
        turn.succeeded()
        turn.failed()
        turn.failed()
        turn.close()
    assert one.health(offered.candidates[0]).breaker.state == "closed"  # each answer resets the row
