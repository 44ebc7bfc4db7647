"""Whoever asks whatever: the client's credentials end here, and the provider's are never told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import orjson
import pytest
from aiohttp import web

from tests.integration.services.gateway.test_openai_images import PRICES
from tests.support.catalogue import ANTHROPIC
from tests.support.gateway import (
    DOLLAR,
    PROVIDER_KEY,
    GatewayLedger,
    RunningGateway,
)

pytestmark = pytest.mark.requirement("RSV-2", "PRC-4", "PRC-5")

ITEM = """
[operations.item]
route = { method = "GET", path = "/v1/items/{id}", upstream = "scorer", upstream_path = "/items/{id}" }
price = { CREDIT = "1" }
success = ["2xx"]
timeout = "5s"
[plans.payg]"""
TOML = (
    ANTHROPIC.replace("[upstreams.south]\n", PRICES.lstrip())
    .replace('sells = ["swift-1", "verse-1"]', 'sells = ["swift-1", "verse-1", "gpt-image-1"]')
    .replace("[plans.payg]", ITEM)
    .replace('sells = ["score-image"]', 'sells = ["score-image", "item"]')
)
SETTINGS = {"breaker_failures": 1_000_000}

SAID = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "swift-1", "messages": SAID}
MESSAGE = {"model": "verse-1", "messages": SAID, "max_tokens": 9}
STREAM = {"stream": True}
MODELS = {
    "chat": ("/v1/chat/completions", CHAT),
    "chat-stream": ("/v1/chat/completions", CHAT | STREAM),
    "completions": ("/v1/completions", {"model": "swift-1", "prompt": "Hello"}),
    "completions-stream": ("/v1/completions", {"model": "swift-1", "prompt": "Hello"} | STREAM),
    "responses": ("/v1/responses", {"model": "swift-1", "input": "Hello"}),
    "responses-stream": ("/v1/responses", {"model": "swift-1", "input": "Hello"} | STREAM),
    "embeddings": ("/v1/embeddings", {"model": "swift-1", "input": "Hello"}),
    "images": ("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a cat"}),
    "messages": ("/v1/messages", MESSAGE),
    "messages-stream": ("/v1/messages", MESSAGE | STREAM),
    "count": ("/v1/messages/count_tokens", {"model": "verse-1", "messages": SAID}),
}
OPERATIONS = {"operation": ("/v1/score-image", {"image": "cat"}), "template": ("/v1/items/7", None)}
CALLS = MODELS | OPERATIONS
EVERY_CALL = pytest.mark.parametrize("call", CALLS)

FORWARDED = {"content-type", "accept", "accept-language", "anthropic-version", "anthropic-beta"}
OURS = {"host", "accept-encoding", "user-agent", "content-length", "authorization", "x-api-key"}
CLIENTS = {
    "cookie": "session=client-cookie",
    "proxy-authorization": "Basic client-proxy",
    "farebox-tags": "team=client-tag",
    "forwarded": "for=client-address",
    "x-forwarded-for": "client-address",
    "x-real-ip": "client-address",
    "x-request-id": "client-request",
    "traceparent": f"00-{'c' * 32}-{'c' * 16}-01",
    "idempotency-key": "client-idempotency",
    "openai-organization": "client-organization",
    "openai-project": "client-project",
    "x-stainless-lang": "client-language",
    "referer": "http://client-page/",
    "origin": "http://client-page",
    "user-agent": "client-agent",
    "accept": "application/json",
    "accept-language": "de",
}
PROVIDERS = {
    "set-cookie": "provider=cookie",
    "x-ratelimit-limit-requests": "77777",
    "x-ratelimit-remaining-tokens": "77777",
    "anthropic-ratelimit-requests-limit": "77777",
    "anthropic-organization-id": "provider-organization",
    "openai-organization": "provider-organization",
    "openai-project": "provider-project",
    "x-request-id": "provider-request",
    "request-id": "provider-request",
    "www-authenticate": "Bearer realm=provider",
    "x-should-retry": "provider",
    "server": "provider-server",
    "farebox-charged": "77777",
    "access-control-allow-origin": "provider-page",
    "location": "/elsewhere",
}


def event(data: object, name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def named(kind: str, **data: object) -> bytes:
    return event({"type": kind} | data, kind)


def whole(path: str, words: str) -> bytes:
    """An answer of each surface that can be charged."""
    given = {"prompt_tokens": 3, "completion_tokens": 2, "input_tokens": 3, "output_tokens": 2}
    choice = {"message": {"content": words}, "text": words, "finish_reason": "stop"}
    block = {"type": "text", "text": words}
    answer = {
        "choices": [choice],
        "data": [{"b64_json": words}],
        "usage": given,
        "content": [block],
    }
    answer |= {"type": "message", "stop_reason": "end_turn", "path": path}
    return orjson.dumps(answer)


def stream(path: str, words: str) -> list[bytes]:
    """The events of each surface; the last is the one that is held back."""
    if path.endswith("/messages"):
        usage = {"input_tokens": 3, "output_tokens": 2}
        return [
            named("message_start", message={"type": "message", "id": words, "usage": usage}),
            named("content_block_delta", index=0, delta={"type": "text_delta", "text": words}),
            named("message_delta", delta={"stop_reason": "end_turn"}, usage=usage),
            named("message_stop", words=words),
        ]
    if path.endswith("/responses"):
        done = {
            "status": "completed",
            "id": words,
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }
        return [
            named("response.created", response={"id": words}),
            named("response.output_text.delta", delta=words),
            named("response.completed", response=done),
        ]
    choice = {"index": 0, "delta": {"content": words}, "text": words, "finish_reason": "stop"}
    return [event({"id": words, "choices": [choice]}), b": %b\ndata: [DONE]\n\n" % words.encode()]


@dataclass
class Provider:
    """Answers everything, and remembers all of what it was asked."""

    url: str = ""
    status: int = 200
    words: str = "said"
    headers: dict[str, str] = field(default_factory=dict)
    fails: bool = False
    """Whether a stream ends with an error in the provider's own words."""
    split: bool = False
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.raw_path, headers, body))
        if self.status == 200 and b'"stream":true' in body:
            return await self._stream(request)
        text = orjson.dumps({"error": {"message": self.words}})
        if self.status == 200:
            text = whole(request.path, self.words)
        sent = {"content-type": "application/json"} | self.headers
        return web.Response(status=self.status, body=text, headers=sent)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"} | self.headers)
        await response.prepare(request)
        events = stream(request.path, self.words)
        if self.fails:
            events[-1] = event({"type": "error", "error": {"message": self.words}}, "error")
        for one in events:
            middle = one.find(self.words.encode()) + len(self.words) // 2 if self.split else 0
            for piece in filter(None, (one[:middle], one[middle:])):
                await response.write(piece)
                await asyncio.sleep(0.002 if self.split else 0)
        return response


@pytest.fixture(scope="module")
async def the_provider() -> AsyncIterator[Provider]:
    provider, app = Provider(), web.Application()
    app.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


@pytest.fixture
def provider(the_provider: Provider) -> Provider:
    the_provider.__dict__.update(Provider(url=the_provider.url).__dict__)
    return the_provider


@dataclass
class Asking:
    """A client of both plans, and what it was told."""

    gateway: RunningGateway
    ledger: GatewayLedger
    keys: tuple[str, str]

    async def __call__(self, call: str, headers: dict[str, str] | None = None) -> httpx.Response:
        path, body = CALLS[call]
        key = self.keys[call in OPERATIONS]
        sent = {"authorization": f"Bearer {key}", "x-api-key": key} | (headers or {})
        if body is not None:
            sent["content-type"] = "application/json"
        method = "GET" if body is None else "POST"
        content = None if body is None else orjson.dumps(body)
        answer = await self.gateway.http.request(method, path, content=content, headers=sent)
        assert not self.ledger.rules.reservations
        return answer


@pytest.fixture
def ask(gateway: RunningGateway, ledger: GatewayLedger) -> Asking:
    payg = ledger.key(ledger.account(DOLLAR))
    studio = ledger.key(ledger.account(100 * DOLLAR, unit="CREDIT", plan="studio"))
    return Asking(gateway, ledger, (payg, studio))


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest):
    """No line of any log holds a secret of anybody."""
    caplog.set_level(logging.DEBUG)
    ask = request.getfixturevalue("ask")
    yield
    text = caplog.text
    assert not [one for one in (PROVIDER_KEY, *ask.keys) if one in text]


def told(answer: httpx.Response) -> str:
    """All that the client was told, as it came."""
    return repr((answer.status_code, answer.headers.raw, answer.content))


@EVERY_CALL
async def test_nothing_of_the_clients_goes_up_but_what_it_asks(ask, provider, call: str):
    assert (await ask(call, CLIENTS)).status_code == 200
    [(path, headers, body)] = provider.asked
    assert headers.keys() <= FORWARDED | OURS
    seen = repr((path, headers, body))
    assert not [key for key in ask.keys if key in seen]
    assert "client-" not in seen
    assert "c" * 16 not in seen
    mine = {"authorization": f"Bearer {PROVIDER_KEY}", "x-api-key": PROVIDER_KEY}
    name = "x-api-key" if "messages" in path else "authorization"
    assert {name: mine[name]} == {one: headers[one] for one in mine if one in headers}


@EVERY_CALL
async def test_a_providers_headers_about_itself_and_us_stay_here(ask, provider, call: str):
    provider.headers = PROVIDERS
    for provider.status in (200, 400, 404, 429, 500):
        answer = await ask(call)
        text = told(answer).lower()
        assert "provider" not in text.replace("the provider", "").replace("upstream", "")
        assert "77777" not in text
        assert not {"set-cookie", "server", "location"} & answer.headers.keys()
    assert not any("cookie" in headers for _, headers, _ in provider.asked)


@EVERY_CALL
async def test_a_redirect_is_never_followed(ask, provider, call: str):
    for provider.status in (301, 302, 303, 307, 308):
        provider.asked.clear()
        provider.headers = {"location": f"{provider.url}/elsewhere"}
        answer = await ask(call)
        assert len(provider.asked) == 1
        assert "elsewhere" not in told(answer)
        assert float(answer.headers.get("farebox-charged", 0)) == 0


@EVERY_CALL
async def test_a_provider_that_quotes_our_key_tells_it_nobody(ask, provider, call: str):
    provider.words = f"Incorrect key {PROVIDER_KEY}, or so"
    quoting = {"openai-version": PROVIDER_KEY, "content-disposition": f"x; filename={PROVIDER_KEY}"}
    provider.headers = quoting | {"retry-after": PROVIDER_KEY}
    for provider.status in (200, 201, 400, 401, 402, 403, 404, 407, 422, 429, 500, 503):
        text = told(await ask(call))
        assert PROVIDER_KEY not in text
        if provider.status in {200, 400, 422}:  # the rest of its words is the client's
            assert f"Incorrect key {'*' * len(PROVIDER_KEY)}, or so" in text


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("call", [call for call in CALLS if call.endswith("-stream")])
async def test_no_event_of_a_stream_tells_our_key(ask, provider, call: str, fails, split):
    provider.words, provider.fails, provider.split = f"is {PROVIDER_KEY}", fails, split
    answer = await ask(call)
    assert PROVIDER_KEY not in told(answer)
    if answer.status_code == 200:  # else it failed before its first event was relayed
        assert answer.text.count("is " + "*" * len(PROVIDER_KEY)) >= 2


@pytest.mark.parametrize("call", OPERATIONS)
async def test_what_an_upstream_says_of_our_credential_is_not_the_clients(
    ask, provider, ledger, call: str
):
    for provider.status in (401, 402, 403, 407):
        provider.words = "Incorrect key sk-pr…tor of organization org-77777"
        answer = await ask(call)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_refused")
        assert "77777" not in told(answer)
        assert answer.headers["farebox-charged"] == "0"
        assert ledger.events("CreditsReleased")[-1]["status"] == provider.status
