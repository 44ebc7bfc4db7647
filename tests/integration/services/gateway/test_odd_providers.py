"""Answers that no honest provider gives: each is told, none is charged for what it is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from tests.support.deadlines import ToldDeadline
from tests.support.gateway import DOLLAR, GatewayLedger, catalogue_for, running_gateway, until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON = "application/json"
STREAM = "text/event-stream"


def event(chunk: object) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def text(said: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"delta": {"content": said}, "finish_reason": finish}]})


ERROR = event({"error": {"message": "overloaded", "type": "server_error", "code": "busy"}})
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
WHOLE = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def provider(body: bytes, kind: str, status: int = 200) -> AsyncIterator[str]:
    """Answers everything with the same bytes; yields its address."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        headers = {"content-type": kind, "location": "http://elsewhere/"}
        return web.Response(status=status, body=body, headers=headers)

    async with serving(answer) as url:
        yield url


@asynccontextmanager
async def serving(answer: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(folder: Path, body: bytes, kind: str, *, stream: bool, status: int = 200):
    """One request; its answer and the ledger afterwards."""
    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    async with (
        provider(body, kind, status) as url,
        running_gateway(folder, catalogue_for(url), ledger) as gateway,
    ):
        answer = await gateway.chat(ledger.key(account), stream=stream)
    assert ledger.reserved(account) == 0
    return answer, ledger


@pytest.mark.parametrize(
    "body",
    [text("a"), text("a") + b": ping\n\n", event({"choices": [], "usage": USAGE}), b": a\n\n"],
)
async def test_a_stream_that_ends_in_order_but_unfinished_is_a_failure(tmp_path: Path, body: bytes):
    answer, ledger = await asked(tmp_path, body, STREAM, stream=True)
    assert "upstream_interrupted" in answer.text
    assert "[DONE]" not in answer.text
    assert ledger.kinds() == ["Reserve", "Release"]


async def test_an_error_in_mid_stream_reaches_the_client_in_the_providers_words(tmp_path: Path):
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": STREAM})
        await response.prepare(request)
        await response.write(text("a"))
        await begun.wait()
        await response.write(ERROR + DONE)
        return response

    ledger = GatewayLedger()
    key = ledger.key(ledger.account(DOLLAR))
    async with (
        serving(answer) as url,
        running_gateway(tmp_path, catalogue_for(url), ledger) as gateway,
        gateway.chat_stream(key) as answer_of_gateway,
    ):
        pieces = answer_of_gateway.aiter_bytes()
        seen = await anext(pieces)
        begun.set()
        seen += b"".join([piece async for piece in pieces])
    assert seen == text("a") + ERROR
    assert ledger.kinds() == ["Reserve", "Release"]


async def test_an_error_before_any_text_is_a_502(tmp_path: Path):
    answer, ledger = await asked(tmp_path, ERROR, STREAM, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert ledger.kinds() == ["Reserve", "Release"]


async def test_a_stream_of_nothing_but_its_end_is_complete(tmp_path: Path):
    answer, ledger = await asked(tmp_path, DONE, STREAM, stream=True)
    assert answer.content == DONE
    assert ledger.events("CreditsCharged")[0]["basis"] == "estimate"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", JSON), (b"{", JSON), (b"<html>", "text/html"), (b"[]", JSON),
     (orjson.dumps({"error": {"message": "no"}}), JSON)],
)  # fmt: skip
async def test_an_answer_that_is_none_is_a_502(
    tmp_path: Path, body: bytes, kind: str, stream: bool
):
    answer, ledger = await asked(tmp_path, body, kind, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_invalid")
    assert ledger.kinds() == ["Reserve", "Release"]


async def test_a_stream_nobody_asked_for_is_a_502(tmp_path: Path):
    body = text("a", "stop") + DONE
    answer, _ = await asked(tmp_path, body, STREAM, stream=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_invalid")


async def test_a_whole_answer_to_a_stream_request_is_charged_and_passed(tmp_path: Path):
    body = orjson.dumps(WHOLE | {"usage": USAGE})
    answer, ledger = await asked(tmp_path, body, JSON, stream=True)
    assert answer.content == body
    assert ledger.events("CreditsCharged")[0]["basis"] == "actual"


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": -10, "completion_tokens": -5}, {"prompt_tokens": "10", "completion_tokens": 5},
     {"prompt_tokens": 1e300, "completion_tokens": 5}, {"prompt_tokens": 10**15, "completion_tokens": 1},
     "lots", 7],
)  # fmt: skip
async def test_usage_that_makes_no_sense_is_estimated(tmp_path: Path, usage: object):
    body = orjson.dumps(WHOLE | {"usage": usage})
    answer, ledger = await asked(tmp_path, body, JSON, stream=False)
    assert answer.status_code == 200
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert int(charged["charge"]) > 0


ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("usage", [ZERO, ZERO | {"prompt_tokens": 10}])
@pytest.mark.parametrize("stream", [False, True])
async def test_text_that_is_reported_as_nothing_is_estimated(
    tmp_path: Path, usage: dict[str, int], stream: bool
):
    report = event({"choices": [], "usage": usage})
    body = text("Hi", "stop") + report + DONE if stream else orjson.dumps(WHOLE | {"usage": usage})
    _, ledger = await asked(tmp_path, body, STREAM if stream else JSON, stream=stream)
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] == 1
    assert charged["usage"]["input_tokens"] > 10


@pytest.mark.parametrize("stream", [False, True])
async def test_no_text_that_is_reported_as_nothing_costs_nothing(tmp_path: Path, stream: bool):
    report = event({"choices": [], "usage": ZERO})
    silent = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": ZERO}
    body = text("", "stop") + report + DONE if stream else orjson.dumps(silent)
    answer, ledger = await asked(tmp_path, body, STREAM if stream else JSON, stream=stream)
    assert answer.status_code == 200
    [charged] = ledger.events("CreditsCharged")
    assert (charged["basis"], charged["charge"]) == ("actual", "0")


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirect_is_not_followed(tmp_path: Path, status: int):
    answer, ledger = await asked(tmp_path, b"", JSON, stream=False, status=status)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "location" not in answer.headers
    assert ledger.kinds() == ["Reserve", "Release"]


async def test_a_whole_answer_cut_off_by_our_time_is_charged_by_its_bytes(
    tmp_path: Path, deadlines: list[ToldDeadline]
):
    over, begun = asyncio.Event(), orjson.dumps(WHOLE)[:-9]

    async def half(request: web.Request) -> web.StreamResponse:
        await request.read()
        answer = web.StreamResponse(headers={"content-type": JSON})
        await answer.prepare(request)
        await answer.write(begun)
        await over.wait()
        return answer

    ledger = GatewayLedger()
    account = ledger.account(DOLLAR)
    async with (
        serving(half) as url,
        running_gateway(tmp_path, catalogue_for(url), ledger) as gateway,
    ):
        asking = asyncio.create_task(gateway.chat(ledger.key(account)))
        await until(lambda: deadlines and deadlines[0].heard)
        deadlines[0].latest_in(0)
        answer = await asking
        over.set()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (504, "upstream_timeout")
    assert "Nothing was charged" not in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] == -(-len(begun) * 11 // 40)
