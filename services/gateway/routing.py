"""Which route a request takes: the first choice, and what comes after it.

A request goes through the candidates at most once. A route whose circuit is open is passed over;
where all are open, the one that closes soonest is tried and nothing after it (ADR 17).
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from libs.runtime import metrics
from services.gateway.breaker import Breaker
from services.gateway.offers import Candidate, Offer
from services.gateway.retry_budget import RetryBudget

ONLY: Final = "only_route"
FIRST: Final = "first"
WEIGHTED: Final = "weighted"
CIRCUIT_OPEN: Final = "fallback:circuit_open"
LAST_RESORT: Final = "last_resort"

_fallbacks: Final = metrics.counter(
    "fallbacks_total", "Tries at a further route after one had failed."
)
_denied: Final = metrics.counter(
    "fallbacks_denied_total", "Fallbacks not tried because too many of them fail as well."
)


class Health:
    """How one route is doing."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.budget = RetryBudget()


@dataclass(slots=True)
class Turn:
    """One try at one candidate, and the reason why it is this one. Its end is told once."""

    candidate: Candidate
    reason: str
    health: Health
    probe: bool
    fallback: bool
    answered: bool = False
    broke: bool = False

    def succeeded(self) -> None:
        """The upstream answered. It may still fail later on."""
        if not self.answered:
            self.answered = True
            self.health.breaker.succeeded(probe=self.probe)

    def failed(self, pause_s: float | None = None) -> None:
        """The upstream failed; `pause_s` is how long it asked to be left alone."""
        if self.broke:
            return
        self.health.breaker.failed(probe=self.probe and not self.answered, pause_s=pause_s)
        if self.fallback and not self.answered:
            self.health.budget.spend()
        self.answered = self.broke = True

    def close(self) -> None:
        """The try is over; unless something was told, it said nothing of the upstream."""
        if not self.answered:
            self.answered = True
            self.health.breaker.left(probe=self.probe)


class Round:
    """One request's way through the candidates, each at most once."""

    def __init__(self, routing: "Routing", candidates: Sequence[Candidate]) -> None:
        self._routing = routing
        self._rest = list(candidates)

    def first(self) -> Turn:
        """The first try."""
        routing, ordered = self._routing, self._rest
        if len(ordered) == 1:
            self._rest = []
            return _turn(ordered[0], ONLY, routing.health(ordered[0]))
        weighted = ordered[0].weight is not None
        if weighted:
            ordered = routing.shuffled(ordered)
        ready = [one for one in ordered if routing.health(one).breaker.lets_in]
        if not ready:
            self._rest = []
            soonest = min(ordered, key=routing.opens_at)
            return _turn(soonest, LAST_RESORT, routing.health(soonest))
        chosen = ready[0]
        self._rest = [one for one in ordered if one is not chosen]
        for one in self._rest:
            routing.health(one).budget.earn()
        plain = WEIGHTED if weighted else FIRST
        reason = plain if chosen is ordered[0] else CIRCUIT_OPEN
        return _turn(chosen, reason, routing.health(chosen))

    def after(self, failure: str) -> Turn | None:
        """The next try after a failure, if there may be one."""
        while self._rest:
            candidate = self._rest.pop(0)
            health = self._routing.health(candidate)
            if not health.breaker.lets_in:
                continue
            if not health.budget.allows:
                _denied.inc()
                continue
            _fallbacks.inc()
            return _turn(candidate, f"fallback:{failure}", health, fallback=True)
        return None


def _turn(candidate: Candidate, reason: str, health: Health, *, fallback: bool = False) -> Turn:
    return Turn(candidate, reason, health, health.breaker.enter(), fallback)


class Routing:
    """All routes of this worker and how each is doing."""

    def __init__(
        self,
        *,
        failures: int,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
        share: Callable[[], float] = random.random,
    ) -> None:
        self._failures = failures
        self._pause_s = pause_s
        self._clock = clock
        self._share = share
        self._health: dict[str, Health] = {}

    def round(self, offer: Offer) -> Round:
        """Begin a request's way through the candidates of an offer."""
        return Round(self, offer.candidates)

    def health(self, candidate: Candidate) -> Health:
        route = candidate.route
        health = self._health.get(route)
        if health is None:
            breaker = Breaker(self._clock, failures=self._failures, pause_s=self._pause_s)
            health = self._health[route] = Health(breaker)
            metrics.gauge(
                "circuit_open",
                "1 while a route is left alone because it failed.",
                read=lambda: int(breaker.state != "closed"),
                route=route,
            )
        return health

    def opens_at(self, candidate: Candidate) -> float:
        return self.health(candidate).breaker.open_until or 0.0

    def shuffled(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates in an order drawn by their weights; those of weight 0 come last."""
        left, drawn = list(candidates), []
        while left:
            point = self._share() * sum(one.weight or 0 for one in left)
            for one in left:
                point -= one.weight or 0
                if point < 0:
                    break
            else:
                one = left[0]
            left.remove(one)
            drawn.append(one)
        return drawn
