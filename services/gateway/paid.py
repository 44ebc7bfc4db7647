"""The paid request as the client's task sees it: who asks, for what, and the answer relayed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from libs.catalogue import DEFAULT_LIMITS, Operation
from libs.events.ids import new_id
from services.gateway.attached import Openers
from services.gateway.body import ClientGoneError, read_body
from services.gateway.completion import Completion, Means
from services.gateway.context import Gateway
from services.gateway.counting import FreeCall
from services.gateway.errors import (
    HeaderList,
    Refusal,
    internal,
    ledger_unavailable,
    not_authenticated,
    openai_body,
    openai_event,
    plain_status,
)
from services.gateway.exchange import ErrorShape, Exchange
from services.gateway.headers import forwarded
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.claim import Claim
from services.gateway.idempotency.claims import Claims
from services.gateway.idempotency.unclaimed import Unclaimed
from services.gateway.keys import AuthError, KeyInfo
from services.gateway.limits.headers import ietf_rate_headers
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.refusals import limited
from services.gateway.limits.slots import Slot
from services.gateway.offers import Offer, Offers
from services.gateway.operations import Call, OperationCall
from services.gateway.orders import Order
from services.gateway.pump import Pumps
from services.gateway.retries import count_retry
from services.gateway.surfaces.anthropic_counting import AnthropicCounting
from services.gateway.surfaces.protocol import Surface
from services.gateway.tags import tags_of
from services.gateway.tracing import traceparent

log = logging.getLogger(__name__)


class OpenAIErrors:
    """The shape of errors where no surface has its own."""

    error_body = staticmethod(openai_body)
    error_event = staticmethod(openai_event)
    status_of = staticmethod(plain_status)
    rate_headers = staticmethod(ietf_rate_headers)


_OPERATION_ERRORS: Final = OpenAIErrors()

Work = tuple[Callable[[Exchange], asyncio.Task[None]], bool]
"""What starts the work on a request, and whether the client's going is to be noticed."""


class PaidRequests:
    """Takes paid requests and starts a pump for each one that may be tried."""

    def __init__(
        self,
        gateway: Gateway,
        means: Means,
        pumps: Pumps,
        limiter: Limiter,
        openers: Openers,
        claims: Claims,
    ) -> None:
        self._gateway = gateway
        self._means = means
        self._pumps = pumps
        self._limiter = limiter
        self._openers = openers
        self._claims = claims
        self.offers = Offers(gateway.catalogue)
        self._body_max = gateway.catalogue.gateway.body_max
        self.open = False
        """Whether requests are taken: not before the ledger was asked who it is."""

    async def model(self, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a surface."""

        def job(key: KeyInfo, raw: bytes, res: str, under: str | None) -> Work:
            count_retry(scope["headers"], surface.name)
            claim = self._claims.of(scope, key, raw, under)
            if isinstance(claim, Answer):
                return partial(self._again, claim), False
            parsed = surface.parse(raw)
            offer = self._offer(key, parsed.model, surface.shape, under)
            order = _order(scope, key, res, offer.name, surface.name, claim)
            if under:
                order = replace(order, unit=offer.unit, attached_to=under)
            headers = surface.forwards(scope["headers"])
            job = Completion(self._means, surface, parsed, offer, order, headers)
            return partial(self._pumps.start, job, claim), parsed.stream

        await self._serve(surface, job, scope, receive, send)

    async def operation(
        self,
        operation: Operation,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        upstream_path: str | None = None,
    ) -> None:
        """Serve one call of an operation; `upstream_path` where it is not the operation's own."""
        path = upstream_path or operation.upstream_path
        upstream = self._gateway.catalogue.upstreams[operation.upstream]

        def job(key: KeyInfo, raw: bytes, res: str, under: str | None) -> Work:
            count_retry(scope["headers"], "operation")
            if under:
                message = "What an operation costs is not known; attach calls of models."
                raise Refusal(400, "not_attachable", message)
            claim = self._claims.of(scope, key, raw, under)
            if isinstance(claim, Answer):
                return partial(self._again, claim), False
            price = self.offers.operation(key, operation)
            query = scope["query_string"].decode("latin-1")
            call = Call(path, raw, forwarded(scope["headers"]), query)
            order = replace(
                _order(scope, key, res, operation.name, "operation", claim),
                at_deadline=operation.unsettled,
                fee=operation.fee,
                hold_ms=self._means.settings.hold_ms_for(operation.timeout_s),
            )
            job = OperationCall(self._means.upstreams, operation, upstream, call, price, order)
            return partial(self._pumps.start, job, claim), False

        await self._serve(_OPERATION_ERRORS, job, scope, receive, send)

    async def count(
        self, surface: AnthropicCounting, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a question that is free, to those who may buy the model, within their limits."""

        def call(key: KeyInfo, raw: bytes, _res: str, under: str | None) -> Work:
            model, fields = surface.parse(raw)
            candidate = self._offer(key, model, surface.shape, under).candidates[0]
            headers = surface.forwards(scope["headers"])
            free = FreeCall(
                self._means.upstreams,
                candidate,
                surface.upstream_path,
                surface.prepare(fields, candidate),
                {**headers, "content-type": "application/json"},
            )
            return lambda exchange: self._pumps.keep(free.run(exchange), exchange), False

        await self._serve(surface, call, scope, receive, send)

    def _again(self, answer: Answer, exchange: Exchange) -> asyncio.Task[None]:
        async def tell() -> None:
            answer.tell(exchange)

        return self._pumps.keep(tell(), exchange)

    def _offer(self, key: KeyInfo, model: str, shape: str, under: str | None) -> Offer:
        """The model as it is sold; under a reservation at what it costs the operator."""
        offers = self.offers
        return (offers.attached if under else offers.model)(key, model, shape)

    async def _serve(
        self,
        shape: ErrorShape,
        make: Callable[[KeyInfo, bytes, str, str | None], Work],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        res = new_id("req")
        exchange = Exchange(res, shape, stall_s=self._means.settings.client_stall_s)
        watch, slot = False, None
        try:
            key = await self._authenticate(scope)
            slot = await self._admit(key, exchange, shape)
            under = await self._openers.named(scope, key)
            raw = await read_body(
                scope["headers"],
                receive,
                limit=self._body_max,
                timeout_s=self._means.settings.body_timeout_s,
            )
            start, watch = make(key, raw, res, under)
        except Refusal as refusal:
            await exchange.refuse(refusal, _close_unread(refusal))
        except ClientGoneError:
            return
        except Exception:
            log.exception("request %s", res)
            await exchange.refuse(internal())
        else:
            start(exchange).add_done_callback(slot.give_back)
            slot = None
        finally:
            if slot is not None:
                slot.give_back()
        await exchange.relay(receive, send, watch=watch)

    async def _admit(self, key: KeyInfo, exchange: Exchange, shape: ErrorShape) -> Slot:
        """The account's place among its requests at once; raises a Refusal: its limits."""
        plan = self._gateway.catalogue.plans.get(key.plan)
        limits = DEFAULT_LIMITS if plan is None else plan.limits
        admission = await self._limiter.admit(key.account_id, limits, exchange.request_id)
        exchange.also(shape.rate_headers(admission.standing, self._gateway.clock.now))
        if admission.refused is not None:
            raise limited(admission, limits)
        return admission.slot

    async def _authenticate(self, scope: Scope) -> KeyInfo:
        if not self.open:
            raise ledger_unavailable()
        try:
            return await self._gateway.keys.authenticate(scope["headers"])
        except AuthError as error:
            raise not_authenticated(error) from error


def _close_unread(refusal: Refusal) -> HeaderList:
    """What is left of a body that came too slowly is not waited for."""
    return ((b"connection", b"close"),) if refusal.status == 408 else ()


def _order(
    scope: Scope,
    key: KeyInfo,
    res: str,
    operation: str,
    surface: str,
    claim: Claim | Unclaimed,
) -> Order:
    return Order(
        res=res,
        account_id=key.account_id,
        key_id=key.key_id,
        unit=key.unit,
        operation=operation,
        surface=surface,
        at_deadline="release",
        traceparent=traceparent(scope["headers"]),
        tags=claim.tagged(tags_of(scope["headers"])),
    )
