"""A model call: held at its bound, metered while it passes, charged at what was used."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp

from libs.events.fields import Attempt
from libs.events.money import decimal_text
from libs.runtime import metrics
from services.gateway.deadline import Deadline
from services.gateway.errors import NO_RETRY, HeaderList, Refusal, upstream_failed
from services.gateway.estimate import Bound, cap_within, estimated_usage
from services.gateway.exchange import Exchange
from services.gateway.headers import returned
from services.gateway.meter import Meter, UpstreamBrokenError, believable, oddity
from services.gateway.offers import Offer
from services.gateway.orders import Order, Served, Settlement
from services.gateway.pump import Drains, Outcome, Told
from services.gateway.settings import GatewaySettings
from services.gateway.surfaces.protocol import Parsed, Surface
from services.gateway.upstreams import (
    AnswerTooLargeError,
    Received,
    Upstreams,
    broken_off,
    upstream_timeout,
)

log = logging.getLogger(__name__)

# These speak of our account with the provider, and may quote our key: they are not the client's.
_OURS: Final = frozenset({401, 402, 403, 407})
_LINGER_S: Final = 1.0
_EVENT_STREAM: Final = "text/event-stream"
_NOT_TAKEN: Final = "The provider's answer is too large or too slow."

_given_up: Final = metrics.counter(
    "answers_given_up_total",
    "Model calls without a byte in our longest time: given back, maybe billed to the operator.",
)


@dataclass(frozen=True, slots=True)
class Means:
    """What all model calls of a worker use."""

    upstreams: Upstreams
    drains: Drains
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
        self._candidate = offer.candidates[0]
        self._headers = headers
        self._bound: Bound = surface.bound(parsed, offer)
        self.amount = self._bound.amount
        self.at_least = self._bound.at_least
        self._meter: Meter = surface.meter(parsed)
        self._body = b""
        self._status: int | None = None
        self._draining = False
        self._waited = False
        self._received = Received()

    def told(self, held: int) -> Told:
        cap = cap_within(self._offer, self._bound, held)
        return Told(self._candidate.route, decimal_text(held, self._offer.unit), cap)

    async def run(self, held: int, told: Told, exchange: Exchange) -> Outcome:
        del held
        self._body = self._surface.prepare(self._parsed, self._candidate, told.cap)
        deadline = Deadline(self._means.settings.request_max_s)
        exchange.on_gone = partial(self._client_gone, deadline)
        try:
            if exchange.gone:
                raise _client_left()
            async with deadline:
                if self._parsed.stream:
                    # The first byte of a whole answer comes only when all of it is there.
                    deadline.within(self._candidate.upstream.timeouts.first_byte_s)
                return await self._call(deadline, told, exchange)
        except Refusal as refusal:
            return self._failed(refusal)
        except UpstreamBrokenError:
            message = "The provider's answer cannot be read."
            return self._failed(upstream_failed(502, "upstream_invalid", message))
        except AnswerTooLargeError:
            message = "The answer is larger than this gateway takes; what was received is charged."
            return self._not_taken(told, Refusal(502, "upstream_invalid", message))
        except TimeoutError:
            return self._late(deadline, told, exchange)
        except asyncio.CancelledError:
            if not (exchange.started and self._meter.delivered):
                raise
            return self._stopped(told)
        finally:
            exchange.on_gone = None
            if self._draining:
                self._means.drains.give_back()

    def _client_gone(self, deadline: Deadline) -> None:
        """Read on to the usage, as long as there is a place; else break off and estimate."""
        self._draining = self._means.drains.claim()
        deadline.latest_in(self._means.settings.drain_max_s if self._draining else 0)

    async def _call(self, deadline: Deadline, told: Told, exchange: Exchange) -> Outcome:
        response = await self._means.upstreams.send(
            self._candidate.upstream,
            "POST",
            self._surface.upstream_path,
            body=self._body,
            headers={**self._headers, "content-type": "application/json"},
        )
        try:
            outcome = await self._read(response, deadline, told, exchange)
        except BaseException:
            response.close()
            raise
        # The end of a stream's body may still be on its way; with it the connection is free again.
        asyncio.get_running_loop().call_later(_LINGER_S, response.close)
        return outcome

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        told: Told,
        exchange: Exchange,
    ) -> Outcome:
        self._status = response.status
        headers = returned(response.headers)
        if 400 <= response.status < 500 and response.status not in _OURS:
            return self._passed_on(headers, await self._body_of(response, deadline))
        if not 200 <= response.status < 300:
            raise _failure_of(response)
        if self._parsed.stream and response.content_type == _EVENT_STREAM:
            return await self._stream(response, deadline, told, exchange, headers)
        body = await self._body_of(response, deadline)
        self._meter.whole(body)
        outcome = self._finished(told)
        outcome.status, outcome.headers, outcome.body = response.status, headers, body
        return outcome

    async def _body_of(self, response: aiohttp.ClientResponse, deadline: Deadline) -> bytes:
        idle_s = self._candidate.upstream.timeouts.idle_s
        return await self._means.upstreams.read(response, deadline, idle_s, self._received)

    async def _stream(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        told: Told,
        exchange: Exchange,
        headers: HeaderList,
    ) -> Outcome:
        meter, idle_s = self._meter, self._candidate.upstream.timeouts.idle_s
        start = (*headers, *told.headers())
        try:
            async for data in response.content.iter_any():
                deadline.within(idle_s)
                await self._relay(meter.feed(data), deadline, exchange, start)
                if meter.held or meter.failed:
                    break
        except (aiohttp.ClientError, OSError) as error:
            raise broken_off() from error
        if not (meter.held or meter.failed):
            await self._relay(meter.end(), deadline, exchange, start)
        if meter.failed:
            # The provider told of its error in the stream: the client has it in its own words.
            return Outcome(self._served(), reason="upstream_error")
        if not meter.complete:
            raise broken_off()
        if not exchange.started:
            exchange.begin(200, start)
        outcome = self._finished(told)
        outcome.last = meter.held
        return outcome

    async def _relay(
        self, piece: bytes, deadline: Deadline, exchange: Exchange, start: HeaderList
    ) -> None:
        if not piece:
            return
        if not exchange.started:
            if self._meter.failed:
                raise upstream_failed(502, "upstream_error", "The provider failed.")
            exchange.begin(200, start)
        if exchange.full:
            # It is the client that is waited for now.
            self._waited = True
            deadline.pause()
            await exchange.put(piece)
            deadline.within(self._candidate.upstream.timeouts.idle_s)
        else:
            await exchange.put(piece)

    def _finished(self, told: Told) -> Outcome:
        """Charged by what was reported, else by the documented estimate."""
        reported = believable(self._meter)
        usage = reported or estimated_usage(
            self._bound, cap=told.cap, sent=len(self._body), delivered=self._meter.delivered
        )
        charge = self._offer.charge(usage, self._candidate)
        settlement = Settlement(
            charge=charge.charge,
            margin=charge.margin,
            # What was served at another price than ours is no actual charge.
            basis="estimate" if reported is None or oddity(self._meter) else "actual",
            cost_pico=charge.cost_pico,
            usage=usage,
            finish=self._meter.finish,
        )
        return Outcome(self._served(), settlement=settlement)

    def _late(self, deadline: Deadline, told: Told, exchange: Exchange) -> Outcome:
        """The provider was too slow, or the time that we give a request is up."""
        if deadline.over and (exchange.gone or self._waited):
            return self._cut_off(told, exchange)
        if deadline.over and self._received.size:
            message = "The answer did not end in time; what was received is charged."
            return self._not_taken(told, Refusal(504, "upstream_timeout", message))
        if deadline.over and not exchange.started:
            # Nothing came by which anything could be estimated, but it may well be billed to us.
            _given_up.inc()
            log.warning("%s: no answer within our time; it is given back", self.order.res)
        return self._failed(upstream_timeout())

    def _cut_off(self, told: Told, exchange: Exchange) -> Outcome:
        """The time was up, and the client had a part in it: it pays for what was delivered.

        If it did not, reading slowly would be a way to have answers for nothing.
        """
        outcome = self._finished(told)
        if not exchange.gone:
            message = "The answer was read too slowly to end in time; what was sent is charged."
            outcome.refusal = Refusal(504, "upstream_timeout", message)
        return outcome

    def _stopped(self, told: Told) -> Outcome:
        """The gateway ends in the middle of a stream: what was delivered is charged."""
        outcome = self._finished(told)
        message = "The gateway was stopped; what was sent is charged."
        outcome.refusal = Refusal(503, "gateway_stopped", message)
        return outcome

    def _not_taken(self, told: Told, refusal: Refusal) -> Outcome:
        """A limit of ours broke a whole answer off: what came of it is charged by its bytes.

        The provider bills it all. If it cost nothing, asking for more than we take would be a way
        to have the operator pay.
        """
        if not 200 <= (self._status or 0) < 300:
            return self._failed(upstream_failed(refusal.status, refusal.code, _NOT_TAKEN))
        self._meter.delivered = self._received.size
        outcome = self._finished(told)
        refusal.headers = NO_RETRY
        outcome.refusal = refusal
        return outcome

    def _passed_on(self, headers: HeaderList, body: bytes) -> Outcome:
        """The provider refuses what the client asked: its words, and nothing is charged."""
        reason = "upstream_rejected"
        served = self._served(reason)
        assert served.status is not None
        return Outcome(served, reason=reason, status=served.status, headers=headers, body=body)

    def _failed(self, refusal: Refusal) -> Outcome:
        return Outcome(self._served(refusal.code), reason=refusal.code, refusal=refusal)

    def _served(self, reason: str | None = None) -> Served:
        upstream = self._candidate.upstream.name
        attempt = Attempt(upstream=upstream, status=self._status, reason=reason)
        return Served(self._offer.name, self._candidate.route, (attempt,), self._status)


def _client_left() -> Refusal:
    return Refusal(499, "client_gone", "The client went before the provider was called.")


def _failure_of(response: aiohttp.ClientResponse) -> Refusal:
    status = response.status
    if status in _OURS:
        return upstream_failed(502, "upstream_refused", "The provider refuses this gateway.")
    if status in {503, 529}:
        again = response.headers.get("retry-after", "")
        headers = ((b"retry-after", again.encode()),) if again.isdigit() else ()
        message = "The provider is overloaded."
        return upstream_failed(503, "upstream_overloaded", message, headers)
    if status == 504:
        return upstream_timeout()
    return upstream_failed(502, "upstream_error", "The provider failed.")
