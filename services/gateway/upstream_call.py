"""One try at one candidate: the request sent, the answer metered and relayed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import aiohttp

from libs.events.fields import Attempt
from services.gateway.deadline import Deadline
from services.gateway.errors import HeaderList
from services.gateway.exchange import Exchange
from services.gateway.failures import (
    broken_off,
    error_in_stream,
    failure_of,
    pause_of,
    rejects,
    unreadable,
)
from services.gateway.growth import Growth
from services.gateway.meter import Meter, UpstreamBrokenError
from services.gateway.offers import Candidate
from services.gateway.pump import Told
from services.gateway.routing import Turn
from services.gateway.sse import EventTooLargeError
from services.gateway.upstreams import AnswerTooLargeError, Received, Upstreams

_LINGER_S: Final = 1.0
_EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes to the upstream: a body below `path`, for a whole answer or a stream."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    stream: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """How an upstream's answer ended.

    `whole`: it can be charged and is in `body`. `streamed`: it can be charged and has left but for
    what the meter holds. `rejected`: the upstream refuses what the client asked, in `body`.
    `failed`: the client has the provider's own words for its failure. `used_up`: what is held does
    not pay for more, and the upstream was left; the client has no end of the stream yet.
    """

    how: Literal["whole", "streamed", "rejected", "failed", "used_up"]
    headers: HeaderList = ()
    body: bytes | None = None


class UpstreamCall:
    """One try. While it runs and afterwards it says how far it came."""

    def __init__(
        self,
        upstreams: Upstreams,
        turn: Turn,
        sending: Sending,
        meter: Meter,
        growth: Growth | None = None,
    ) -> None:
        self.candidate: Candidate = turn.candidate
        self.meter = meter
        self.status: int | None = None
        self.received = Received()
        self.waited_s = 0.0
        """How long it waited for the client to read."""
        self._upstreams = upstreams
        self._turn = turn
        self._sending = sending
        self._growth = growth
        self._idle_s = turn.candidate.upstream.timeouts.idle_s

    @property
    def sent(self) -> int:
        """Bytes of the body that was sent."""
        return len(self._sending.body)

    @property
    def answers(self) -> bool:
        """Whether the upstream took the request."""
        return self.status is not None and 200 <= self.status < 300

    def attempt(self, reason: str | None) -> Attempt:
        """The try for the record; `reason` is why it was no success."""
        return Attempt(upstream=self.candidate.upstream.name, status=self.status, reason=reason)

    async def run(self, deadline: Deadline, told: Told, exchange: Exchange) -> Answered:
        """Call the upstream and relay what may leave before the settlement.

        Raises:
            Refusal: the upstream failed.
            AnswerTooLargeError: a whole answer above `answer_max`, or an event above our limit.
            TimeoutError: the deadline, which its caller has entered.
        """
        sending = self._sending
        if sending.stream:
            # The first byte of a whole answer comes only when all of it is there.
            deadline.within(self.candidate.upstream.timeouts.first_byte_s)
        response = await self._upstreams.send(
            self.candidate.upstream,
            "POST",
            sending.path,
            body=sending.body,
            headers=sending.headers,
        )
        try:
            answered = await self._read(response, deadline, told, exchange)
        except UpstreamBrokenError as error:
            response.close()
            if isinstance(error.__cause__, EventTooLargeError):
                raise AnswerTooLargeError from error
            raise unreadable() from None
        except BaseException:
            response.close()
            raise
        self._turn.succeeded()
        if answered.how == "used_up":
            response.close()
        else:
            # A stream's end may still be on its way; with it the connection is free again.
            asyncio.get_running_loop().call_later(_LINGER_S, response.close)
        return answered

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        told: Told,
        exchange: Exchange,
    ) -> Answered:
        self.status = response.status
        headers = self._upstreams.returned(response)
        if rejects(response.status):
            return Answered("rejected", headers, await self._whole(response, deadline))
        if not self.answers:
            self._turn.failed(pause_of(response))
            raise failure_of(response)
        if self._sending.stream and response.content_type == _EVENT_STREAM:
            start = (*headers, *told.headers())
            return await self._stream(response, deadline, exchange, start)
        body = await self._whole(response, deadline)
        self.meter.whole(body)
        return Answered("whole", headers, body)

    async def _whole(self, response: aiohttp.ClientResponse, deadline: Deadline) -> bytes:
        return await self._upstreams.read(response, deadline, self._idle_s, self.received)

    async def _stream(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        exchange: Exchange,
        start: HeaderList,
    ) -> Answered:
        meter = self.meter
        try:
            lasted = await self._pass_on(response, deadline, exchange, start)
        except (aiohttp.ClientError, OSError) as error:
            if not meter.complete:
                raise broken_off() from error
            lasted = True
        if not lasted:
            return self._used_up(exchange, start)
        if meter.failed:
            self._turn.failed()
            return Answered("failed")
        if not meter.complete:
            raise broken_off()
        if not exchange.started:
            exchange.begin(200, start)
        return Answered("streamed")

    async def _pass_on(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        exchange: Exchange,
        start: HeaderList,
    ) -> bool:
        """Relay the stream to its end; whether what is held pays for all of it."""
        meter, growth = self.meter, self._growth
        async for data in response.content.iter_any():
            deadline.within(self._idle_s)
            before = meter.delivered
            piece = meter.feed(data)
            if growth and meter.delivered >= growth.alarm and not meter.held:
                deadline.pause()
                if not await growth.covers(meter, self.candidate, self.sent):
                    meter.delivered = before  # this piece stays here
                    return False
                deadline.within(self._idle_s)
            await self._relay(piece, deadline, exchange, start)
            if meter.held or meter.failed:
                return True
        await self._relay(meter.end(), deadline, exchange, start)
        return True

    def _used_up(self, exchange: Exchange, start: HeaderList) -> Answered:
        if not exchange.started:
            exchange.begin(200, start)
        return Answered("used_up")

    async def _relay(
        self, piece: bytes, deadline: Deadline, exchange: Exchange, start: HeaderList
    ) -> None:
        if not piece:
            return
        piece = self._upstreams.redact(piece)
        if not exchange.started:
            if self.meter.failed:
                raise error_in_stream()
            self._turn.succeeded()
            exchange.begin(200, start)
        if exchange.full:
            # It is the client that is waited for now.
            loop = asyncio.get_running_loop()
            since = loop.time()
            deadline.pause()
            try:
                await exchange.put(piece)
            finally:
                self.waited_s += loop.time() - since
            deadline.within(self._idle_s)
        else:
            exchange.add(piece)
