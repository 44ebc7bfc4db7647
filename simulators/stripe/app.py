"""The stand-in as one ASGI application: the API, the hosted pages and the control calls."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulators.stripe import control, page
from simulators.stripe.customers import Customers, PaymentMethods
from simulators.stripe.errors import ApiError, DroppedError
from simulators.stripe.events import EventLog
from simulators.stripe.faults import Faults
from simulators.stripe.forms import Params, nested
from simulators.stripe.idempotency import Answer, IdempotencyKeys
from simulators.stripe.intents import PaymentIntents
from simulators.stripe.routes import Routes
from simulators.stripe.sessions import CheckoutSessions
from simulators.stripe.store import Store
from simulators.stripe.webhooks import Delivery, Webhooks

_EXPANDABLE = {
    "payment_intent": "payment_intent",
    "latest_charge": "charge",
    "payment_method": "payment_method",
    "setup_intent": "setup_intent",
    "customer": "customer",
}


class FakeStripe:
    """One simulated Stripe account.

    Args:
        now: seconds since 1970; moves idempotency keys, sessions and `created`.
        delivery: how webhooks go out; by default they wait until told.
        transport: what carries the webhooks, for an endpoint in the same process.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        delivery: Delivery | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = now
        self.offset_s = 0
        self.calls: list[tuple[str, str, Params]] = []
        self.faults = Faults()
        self.store = Store(self.now)
        self.events = EventLog(self.store)
        self.webhooks = Webhooks(delivery or Delivery(), transport)
        self.events.on_event = self.webhooks.put
        self.customers = Customers(self.store, self.events)
        self.methods = PaymentMethods(self.store, self.events, self.customers)
        self.intents = PaymentIntents(self.store, self.events, self.customers, self.methods)
        self.sessions = CheckoutSessions(
            self.store, self.events, self.customers, self.methods, self.intents
        )
        self._keys = IdempotencyKeys(self.now)
        self._routes = Routes(self)
        self._asgi = Starlette(
            routes=[
                Route("/v1/{path:path}", self._api, methods=["GET", "POST", "DELETE"]),
                Route("/pay/{session}", self._show, methods=["GET"]),
                Route("/pay/{session}", self._pay, methods=["POST"]),
                Route("/portal/{session}", self._portal, methods=["GET"]),
                Route("/control/{what:path}", self._control, methods=["POST"]),
            ]
        )

    def now(self) -> float:
        return self._clock() + self.offset_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        try:
            await self._asgi(scope, receive, send)
        except DroppedError:
            # A body that is announced and never sent: the server breaks the connection.
            headers = [(b"content-length", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.webhooks.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _api(self, request: Request) -> Response:
        text = (await request.body()).decode() or request.url.query
        params = nested(parse_qsl(text, keep_blank_values=True))
        if request.headers.get("authorization", "")[:10] != "Bearer sk_":
            fault = ApiError(401, type="invalid_request_error", message="No API key provided.")
            return JSONResponse(fault.body(), 401)
        self.sessions.public_url = str(request.base_url).rstrip("/")
        try:
            return await self._answer(request, params)
        except ApiError as fault:
            return JSONResponse(fault.body(), fault.status)

    async def _answer(self, request: Request, params: Params) -> Response:
        method, path = request.method, request.url.path
        key = request.headers.get("idempotency-key") if method == "POST" else None
        fault = self.faults.take(method, path)
        if fault == "drop_before":
            raise DroppedError
        if fault == "429":
            raise ApiError(429, type="rate_limit_error", code="rate_limit", message="Slow down.")
        whole = f"{path} {json.dumps(params, sort_keys=True)}"
        replayed = self._keys.replay(key, whole) if key else None
        answer = replayed or self._execute(method, path, params, fault)
        if key and replayed is None and (answer.status in (200, 402) or answer.status >= 500):
            self._keys.save(key, whole, answer)
        if fault == "hang_after":
            await self.faults.hang()
        if fault == "drop_after":
            raise DroppedError
        headers = {"idempotent-replayed": "true"} if replayed else {}
        return JSONResponse(answer.body, answer.status, headers)

    def _execute(self, method: str, path: str, params: Params, fault: str | None) -> Answer:
        broken = ApiError(500, type="api_error", message="Something went wrong on our end.")
        if fault == "500":
            return Answer(500, broken.body())
        self.calls.append((method, path, params))
        expand = params.pop("expand", [])
        try:
            body = self._expanded(self._routes.call(method, path, params), expand)
            answer = Answer(200, json.loads(json.dumps(body)))
        except ApiError as refused:
            answer = Answer(refused.status, refused.body())
        return Answer(500, broken.body()) if fault == "500_after" else answer

    def _expanded(self, row: dict[str, Any], names: list[str]) -> dict[str, Any]:
        more = {
            name: self.store.get(_EXPANDABLE[name], row[name])
            for name in names
            if row.get(name) is not None
        }
        return {**row, **more}

    async def _show(self, request: Request) -> Response:
        try:
            session = self.sessions.retrieve({}, request.path_params["session"])
        except ApiError as fault:
            return HTMLResponse(str(fault), fault.status)
        if session["status"] != "open":
            return HTMLResponse(page.closed(session), 410)
        return HTMLResponse(page.checkout(session))

    async def _pay(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        ident = request.path_params["session"]
        try:
            session = self.sessions.pay(ident, form.get("payment_method", ""))
        except ApiError as fault:
            if fault.status != 402:
                return HTMLResponse(str(fault), fault.status)
            session = self.sessions.retrieve({}, ident)
            return HTMLResponse(page.checkout(session, str(fault)), 402)
        # Not quoted again by the framework: the address is the merchant's own text.
        target = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
        return RedirectResponse(target, 303)

    async def _portal(self, request: Request) -> Response:
        return HTMLResponse(page.portal(request.path_params["session"]))

    async def _control(self, request: Request) -> Response:
        order = control.ORDERS.get(request.path_params["what"])
        if order is None:
            return JSONResponse({"error": "unknown order"}, 404)
        try:
            return JSONResponse(await order(self, json.loads(await request.body() or b"{}")))
        except ApiError as fault:
            return JSONResponse(fault.body(), fault.status)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": repr(error)}, 400)
