"""A model call: held at its bound, tried at its candidates, charged at what was used."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from libs.events.fields import Attempt
from libs.events.money import decimal_text
from libs.runtime import metrics
from services.gateway.deadline import Deadline
from services.gateway.drains import Drains
from services.gateway.errors import NO_RETRY, Refusal, upstream_failed
from services.gateway.estimate import Bound, affordable_cap, cap_within
from services.gateway.exchange import Exchange
from services.gateway.failures import upstream_timeout
from services.gateway.growth import Growth, wide_cap
from services.gateway.hold import Hold
from services.gateway.offers import Offer
from services.gateway.orders import Order, Served
from services.gateway.pump import Outcome, Told
from services.gateway.routing import Routing, Turn
from services.gateway.settings import GatewaySettings
from services.gateway.surfaces.protocol import Parsed, Surface
from services.gateway.tally import Tally
from services.gateway.unheld import Unheld
from services.gateway.upstream_call import Answered, Sending, UpstreamCall
from services.gateway.upstreams import AnswerTooLargeError, Upstreams

log = logging.getLogger(__name__)

_NOT_TAKEN: Final = "The provider's answer is too large or too slow."
_PATIENCE_S: Final = 5.0
"""Who leaves an answer unread for longer may be why the provider breaks it off."""

_ended: Final = metrics.counter(
    "streams_used_up_total", "Streams we ended because what was held did not pay for more."
)
_given_up: Final = metrics.counter(
    "answers_given_up_total",
    "Model calls without a byte in our longest time: given back, maybe billed to the operator.",
)


@dataclass(frozen=True, slots=True)
class Means:
    """What all model calls of a worker use."""

    upstreams: Upstreams
    routing: Routing
    drains: Drains
    unheld: Unheld
    settings: GatewaySettings


class Completion:
    """One model call of one surface."""

    def __init__(
        self,
        means: Means,
        surface: Surface,
        parsed: Parsed,
        offer: Offer,
        order: Order,
        headers: Mapping[str, str],
    ) -> None:
        self.order = order
        self._means = means
        self._surface = surface
        self._parsed = parsed
        self._offer = offer
        self._headers = {**headers, "content-type": "application/json"}
        self._bound: Bound = surface.bound(parsed, offer)
        if self._bound.cap:
            self.order = replace(order, affordable=partial(affordable_cap, offer, self._bound))
        self.amount = self._bound.amount
        self.at_least = self._bound.at_least
        self._attempts: list[Attempt] = []
        self._reason = ""
        self._draining = False
        self._growth: Growth | None = None

    def told(self, hold: Hold) -> Told:
        if self._uncapped:
            cap = wide_cap(self._offer, self._bound, hold, self._means.unheld)
        else:
            cap = cap_within(self._offer, self._bound, hold.amount)
        return Told("", decimal_text(hold.amount, self._offer.unit), cap)

    @property
    def _uncapped(self) -> bool:
        """Whether it is a stream whose hold may grow while it runs, if a hold of it can."""
        return self._parsed.stream and self._parsed.asked is None and self._bound.cap > 0

    async def run(self, hold: Hold, told: Told, exchange: Exchange) -> Outcome:
        settings = self._means.settings
        attached = self.order.attached_to is not None
        deadline = Deadline(settings.attached_max_s if attached else settings.request_max_s)
        exchange.on_gone = partial(self._client_gone, deadline)
        tally = Tally(self._offer, self._bound, min(told.cap, self._bound.cap))
        if told.cap > tally.cap:
            self._growth = Growth(hold, tally, told.cap, self._means.unheld)
        try:
            if exchange.gone:
                return self._not_called()
            return await self._tried(tally, deadline, told, exchange)
        finally:
            exchange.on_gone = None
            if self._growth is not None:
                self._growth.close()
            if self._draining:
                self._means.drains.give_back(self.order.account_id)

    def _client_gone(self, deadline: Deadline) -> None:
        """Read on to the usage, as long as there is a place; else break off and estimate."""
        if self._offer.on_disconnect == "drain":
            self._draining = self._means.drains.claim(self.order.account_id)
        deadline.latest_in(self._means.settings.drain_max_s if self._draining else 0)

    async def _tried(
        self, tally: Tally, deadline: Deadline, told: Told, exchange: Exchange
    ) -> Outcome:
        """Go through the candidates until one answers, or the client must be told."""
        candidates = self._means.routing.round(self._offer)
        turn = candidates.first()
        while True:
            told.route, told.reason = turn.candidate.route, turn.reason
            self._reason = turn.reason
            call = self._call(turn, told.cap)
            try:
                ended = await self._one(call, turn, tally, deadline, told, exchange)
            finally:
                turn.close()
            if isinstance(ended, Outcome):
                return ended
            last = exchange.started or exchange.gone or deadline.over
            following = None if last else candidates.after(ended.code)
            if following is None:
                return self._failed(call, ended)
            self._attempts.append(call.attempt(ended.code))
            turn = following

    def _call(self, turn: Turn, cap: int) -> UpstreamCall:
        surface, parsed = self._surface, self._parsed
        body = surface.prepare(parsed, turn.candidate, cap)
        sending = Sending(surface.upstream_path, body, self._headers, parsed.stream)
        meter = surface.meter(parsed)
        return UpstreamCall(self._means.upstreams, turn, sending, meter, self._growth)

    async def _one(
        self,
        call: UpstreamCall,
        turn: Turn,
        tally: Tally,
        deadline: Deadline,
        told: Told,
        exchange: Exchange,
    ) -> Outcome | Refusal:
        """One try: what came of the request, or the upstream's failure."""
        try:
            async with deadline:
                answered = await call.run(deadline, told, exchange)
        except Refusal as failure:
            turn.failed()
            if exchange.started and call.waited_s >= _PATIENCE_S:
                return self._cut_off(call, tally, exchange)
            return failure
        except AnswerTooLargeError:
            message = "The answer is larger than this gateway takes; what was received is charged."
            return self._not_taken(call, tally, Refusal(502, "upstream_invalid", message))
        except TimeoutError:
            return self._late(call, turn, tally, deadline, exchange)
        except asyncio.CancelledError:
            if not (exchange.started and call.meter.delivered):
                raise
            return self._stopped(call, tally)
        return self._answered(call, tally, answered)

    def _answered(self, call: UpstreamCall, tally: Tally, answered: Answered) -> Outcome:
        if answered.how == "rejected":
            # The provider refuses what the client asked: its words, and nothing is charged.
            outcome = Outcome(self._served(call, "upstream_rejected"), reason="upstream_rejected")
        elif answered.how == "used_up":
            return self._used_up(call, tally)
        elif answered.how == "failed":
            return Outcome(self._served(call, "upstream_error"), reason="upstream_error")
        else:
            settlement = tally.finished(call.meter, call.candidate, call.sent)
            outcome = Outcome(
                self._served(call), settlement=settlement, last=self._redacted(call.meter.held)
            )
        assert call.status is not None
        outcome.status, outcome.headers = call.status, answered.headers
        outcome.body = answered.body
        return outcome

    def _late(
        self,
        call: UpstreamCall,
        turn: Turn,
        tally: Tally,
        deadline: Deadline,
        exchange: Exchange,
    ) -> Outcome | Refusal:
        """The provider was too slow, or the time that we give a request is up."""
        if exchange.started and call.meter.complete:
            return self._answered(call, tally, Answered("streamed"))
        if deadline.over and (exchange.gone or exchange.started):
            return self._cut_off(call, tally, exchange)
        if deadline.over and call.received.size:
            message = "The answer did not end in time; what was received is charged."
            return self._not_taken(call, tally, Refusal(504, "upstream_timeout", message))
        if deadline.over:
            # Nothing came by which anything could be estimated, but it may well be billed to us.
            _given_up.inc()
            log.warning("%s: no answer within our time; it is given back", self.order.res)
        turn.failed()
        return upstream_timeout()

    def _used_up(self, call: UpstreamCall, tally: Tally) -> Outcome:
        """What is held pays for no more: the stream ends as the provider would end it."""
        _ended.inc()
        settlement = tally.broken(call.meter, call.candidate, call.sent)
        assert settlement.usage is not None
        ending = self._surface.ending(self._parsed, call.meter, settlement.usage)
        served = self._served(call, "hold_used_up")
        settlement = replace(settlement, finish="length")
        return Outcome(served, settlement=settlement, last=self._redacted(ending))

    def _redacted(self, last: bytes) -> bytes:
        return self._means.upstreams.redact(last)

    def _cut_off(self, call: UpstreamCall, tally: Tally, exchange: Exchange) -> Outcome:
        """Our time was up, or the client had a part in the end: it pays for what was delivered.

        If it did not, reading slowly, or asking for what takes longer than we allow, would be a
        way to have answers for nothing.
        """
        outcome = self._broken(call, tally)
        if not exchange.gone:
            message = "The answer did not end in time; what was sent is charged."
            outcome.refusal = Refusal(504, "upstream_timeout", message)
        return outcome

    def _stopped(self, call: UpstreamCall, tally: Tally) -> Outcome:
        """The gateway ends in the middle of a stream: what was delivered is charged."""
        outcome = self._broken(call, tally)
        message = "The gateway was stopped; what was sent is charged."
        outcome.refusal = Refusal(503, "gateway_stopped", message)
        return outcome

    def _not_taken(self, call: UpstreamCall, tally: Tally, refusal: Refusal) -> Outcome:
        """A limit of ours broke an answer off: what came of it is charged by its bytes.

        The provider bills it all. If it cost nothing, asking for more than we take would be a way
        to have the operator pay.
        """
        if not call.answers:
            return self._failed(call, upstream_failed(refusal.status, refusal.code, _NOT_TAKEN))
        call.meter.delivered = max(call.meter.delivered, call.received.size)
        outcome = self._broken(call, tally)
        refusal.headers = NO_RETRY
        outcome.refusal = refusal
        return outcome

    def _broken(self, call: UpstreamCall, tally: Tally) -> Outcome:
        settlement = tally.broken(call.meter, call.candidate, call.sent)
        return Outcome(self._served(call), settlement=settlement)

    def _not_called(self) -> Outcome:
        gone = Refusal(499, "client_gone", "The client went before the provider was called.")
        served = Served(self._offer.name, self._offer.candidates[0].route, (), None)
        return Outcome(served, reason=gone.code, refusal=gone)

    def _failed(self, call: UpstreamCall, refusal: Refusal) -> Outcome:
        served = self._served(call, refusal.code)
        return Outcome(served, reason=refusal.code, refusal=refusal)

    def _served(self, call: UpstreamCall, reason: str | None = None) -> Served:
        attempts = (*self._attempts, call.attempt(reason))
        route = call.candidate.route
        return Served(self._offer.name, route, attempts, call.status, self._reason)
