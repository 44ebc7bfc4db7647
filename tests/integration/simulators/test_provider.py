"""The provider simulator misbehaves exactly as told, over a real socket."""

import asyncio
import json
import sys

import aiohttp
import openai
import pytest

from simulators.provider.app import running_provider
from tests.support.waiting import eventually

ASK = {"model": "swift-1", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def provider():
    async with running_provider(key="sk-own") as running:
        yield running


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http, provider, text="hello", **fields):
    body = ASK | {"messages": [{"role": "user", "content": text}]} | fields
    headers = {"authorization": f"Bearer {provider.key}"}
    async with http.post(
        f"{provider.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        return response.status, await response.read()


async def until(condition):
    async def holds():
        return condition()

    await eventually(holds)


def events(raw):
    return [line.removeprefix("data: ") for line in raw.decode().splitlines() if line]


async def test_another_key_is_refused_and_not_counted(provider, http):
    for key in ("sk-other", ""):
        headers = {"authorization": f"Bearer {key}"}
        async with http.post(f"{provider.url}/score", json={}, headers=headers) as response:
            assert response.status == 401
    async with http.get(f"{provider.url}/control/calls") as response:
        seen = await response.json()
    assert (seen["count"], seen["refused"]) == (0, 2)
    assert seen["calls"][0]["authorization"] == "Bearer sk-other"


async def test_the_unmodified_sdk_reads_answer_and_stream(provider):
    async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="sk-own") as client:
        whole = await client.chat.completions.create(**ASK)
        assert whole.usage.prompt_tokens == 9
        assert len(whole.choices[0].message.content.split()) == whole.usage.completion_tokens
        stream = await client.chat.completions.create(
            **ASK, stream=True, max_completion_tokens=5, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert (
        "".join(c.choices[0].delta.content or "" for c in chunks[:-1]).split()
        == (whole.choices[0].message.content.split()[:5])
    )
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 5


async def test_a_stream_reports_usage_only_when_asked(provider, http):
    _, silent = await ask(http, provider, stream=True)
    assert b"usage" not in silent
    _, asked = await ask(http, provider, stream=True, stream_options={"include_usage": True})
    assert json.loads(events(asked)[-2])["usage"]["total_tokens"] == 9 + 24


@pytest.mark.parametrize(
    ("style", "reports"),
    [("none", 0), ("null", 0), ("zero", 1), ("normal", 1), ("duplicate", 2), ("running", 26)],
)
async def test_usage_comes_in_every_bad_style(provider, http, style, reports):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    _, raw = await ask(http, provider, f"[[sim usage={style}]]", **options)
    bodies = [json.loads(event) for event in events(raw)[:-1]]
    assert sum(bool(body.get("usage")) for body in bodies) == reports


@pytest.mark.parametrize("directive", ["", "crlf ", "split_bytes=1 ", "crlf split_bytes=7 "])
async def test_framing_changes_bytes_but_not_events(provider, http, directive):
    _, raw = await ask(http, provider, f"[[sim {directive}words=3]]", stream=True)
    assert [json.loads(e)["choices"][0]["delta"].get("content") for e in events(raw)[:-1]] == [
        "", "every", " request", " pays", None,
    ]  # fmt: skip
    assert events(raw)[-1] == "[DONE]"
    assert (b"\r\n\r\n" in raw) == ("crlf" in directive)


async def test_a_stream_dies_after_the_scripted_chunks(provider, http):
    with pytest.raises(aiohttp.ClientError):
        await ask(http, provider, "[[sim words=9 die_after_chunks=4]]", stream=True)
    call = provider.record.calls[0]
    assert (call.outcome, call.chunks) == ("died", 4)


@pytest.mark.parametrize(
    ("directive", "outcome"), [("reset", "reset"), ("die_after_chunks=0", "died")]
)
async def test_a_connection_is_reset(provider, http, directive, outcome):
    with pytest.raises(aiohttp.ClientError):
        await ask(http, provider, f"[[sim {directive}]]")
    assert provider.record.calls[0].outcome == outcome


async def test_control_scripts_the_next_calls_and_counts_down(provider, http):
    rule = {"script": {"status": 429, "retry_after": "7"}, "times": 2, "contains": "hello"}
    async with http.post(f"{provider.url}/control/script", json=rule) as response:
        assert response.status == 200
    assert [(await ask(http, provider, text))[0] for text in ("hello", "x", "hello", "hello")] == [
        429, 200, 429, 200,
    ]  # fmt: skip
    async with http.post(f"{provider.url}/control/script", json={"times": 0}) as response:
        assert response.status == 400


async def test_a_held_answer_waits_for_release(provider, http):
    asking = asyncio.create_task(ask(http, provider, "[[sim hold]]"))
    await until(lambda: provider.record.calls)
    assert not asking.done()
    async with http.post(f"{provider.url}/control/release") as response:
        assert response.status == 200
    assert (await asking)[0] == 200


async def test_a_client_that_leaves_is_noted(provider, http):
    headers = {"authorization": f"Bearer {provider.key}"}
    body = ASK | {"stream": True}
    body["messages"] = [{"role": "user", "content": "[[sim words=2000 gap_ms=2]]"}]
    async with http.post(
        f"{provider.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        await response.content.readline()
    await until(lambda: provider.record.calls[0].outcome != "open")
    assert provider.record.calls[0].outcome == "client_gone"


async def test_score_is_plain_json_and_fails_on_an_unreadable_image(provider, http):
    headers = {"authorization": f"Bearer {provider.key}"}
    url = f"{provider.url}/score"
    async with http.post(url, json={"image": "cat"}, headers=headers) as response:
        assert response.status == 200
        assert 0 <= (await response.json())["score"] <= 100
    async with http.post(url, json={"image": ""}, headers=headers) as response:
        assert response.status == 422
    async with http.post(f"{provider.url}/control/reset") as response:
        assert response.status == 200
    assert provider.record.summary() == {"count": 0, "refused": 0, "calls": []}


async def test_the_process_writes_its_port_and_stops_on_sigterm(tmp_path, http):
    run_file = tmp_path / "run" / "provider.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.provider", "--port", "0", "--run-file", str(run_file),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        run = json.loads(run_file.read_text())
        assert run["url"] in line.decode()
        assert run["pid"] == process.pid
        async with http.get(f"{run['url']}/control/calls") as response:
            assert (await response.json())["count"] == 0
    finally:
        process.terminate()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


class TestAnthropicShape:
    BODY = {"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "hello"}]}

    async def post(self, http, provider, *, path="/v1/messages", key="sk-own", **fields):
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        url = f"{provider.url}{path}"
        async with http.post(url, json=self.BODY | fields, headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def test_a_message_is_answered_within_its_cap(self, provider, http):
        status, headers, raw = await self.post(http, provider)
        body = json.loads(raw)
        assert (status, headers["request-id"]) == (200, "sim_1")
        assert body["content"] == [{"type": "text", "text": "every request pays"}]
        assert (body["stop_reason"], body["usage"]["output_tokens"]) == ("max_tokens", 3)

    async def test_a_stream_names_its_events_and_ends_with_message_stop(self, provider, http):
        _, _, raw = await self.post(http, provider, stream=True)
        assert raw.startswith(b"event: message_start\ndata: {")
        assert raw.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')

    async def test_an_error_event_takes_the_place_of_the_end(self, provider, http):
        said = [{"role": "user", "content": "[[sim error_after_chunks=4]]"}]
        _, _, raw = await self.post(http, provider, stream=True, messages=said)
        assert raw.count(b"event: ") == 5
        assert b"message_stop" not in raw
        assert b"overloaded_error" in raw.splitlines()[-2]

    async def test_errors_are_anthropics(self, provider, http):
        said = [{"role": "user", "content": "[[sim status=529]]"}]
        status, _, raw = await self.post(http, provider, messages=said)
        assert (status, json.loads(raw)["error"]["type"]) == (529, "overloaded_error")
        status, _, raw = await self.post(http, provider, key="sk-other")
        assert (status, json.loads(raw)["error"]["type"]) == (401, "authentication_error")

    async def test_tokens_are_counted_as_they_would_be_charged(self, provider, http):
        _, _, raw = await self.post(http, provider, path="/v1/messages/count_tokens")
        _, _, answer = await self.post(http, provider)
        assert json.loads(raw)["input_tokens"] == json.loads(answer)["usage"]["input_tokens"] == 9
