"""Whatever clients and providers send: no 500, no task that fails, no hold left, no free call."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway import pump
from services.gateway.surfaces import (
    anthropic_fields,
    chat_fields,
    images_fields,
    openai_completions,
    responses_fields,
)
from tests.support.catalogue import ANTHROPIC
from tests.support.gateway import DOLLAR, catalogue_for
from tests.support.raw_gateway import (
    BROKEN,
    Client,
    RawGateway,
    Scripted,
    event,
    raw_gateway,
    said,
)
from tests.support.scripted_streams import STREAMS, named

pytestmark = pytest.mark.requirement("PRC-7", "RSV-2")

_ROUTES = {'routes = ["north/swift-1"]': 'routes = ["north/swift-1", "south/swift-1-b"]'}
_HELLO = [{"role": "user", "content": "Hello"}]
_COMMON = {"max_tokens", "n", "stream", "stream_options", "tools", "service_tier", "speed", "x"}


@dataclass(frozen=True, eq=False)
class Surface:
    """Where a surface is, what is asked there, and the fields that it knows."""

    path: str
    good: dict[str, Any]
    fields: set[str]


_CHAT = Surface(
    "/v1/chat/completions",
    {"model": "swift-1", "messages": _HELLO},
    {*chat_fields.HARMLESS, "max_completion_tokens", "modalities", "functions", "prediction"},
)
_RESPONSES = Surface(
    "/v1/responses",
    {"model": "swift-1", "input": "Hello"},
    {*responses_fields.HARMLESS, "instructions", "background", "reasoning", "text"},
)
_MESSAGES = Surface(
    "/v1/messages",
    {"model": "verse-1", "messages": _HELLO, "max_tokens": 9},
    {*anthropic_fields.HARMLESS, "messages", "system", "thinking", "cache_control", "metadata",
     "tool_choice", "output_config"},
)  # fmt: skip
_STREAMING = {"chat": _CHAT, "responses": _RESPONSES, "messages": _MESSAGES}
_ALL = [
    *_STREAMING.values(),
    Surface("/v1/completions", {"model": "swift-1", "prompt": "Hello"},
            {*openai_completions.HARMLESS, "best_of", "echo", "suffix"}),
    Surface("/v1/embeddings", {"model": "swift-1", "input": "Hello"},
            {"input", "dimensions", "encoding_format"}),
    Surface("/v1/images/generations", {"model": "swift-1", "prompt": "Hello"},
            {*images_fields.HARMLESS, "size", "quality", "output_format"}),
    Surface("/v1/messages/count_tokens", {"model": "verse-1", "messages": _HELLO}, {"system"}),
]  # fmt: skip


class Bench:
    """A gateway and its loop, and what went wrong in it that nobody waited for."""

    def __init__(self, runner: asyncio.Runner, gateway: RawGateway) -> None:
        self.gateway = gateway
        self.failures: list[dict[str, Any]] = []
        self._runner = runner
        runner.get_loop().set_exception_handler(lambda _, context: self.failures.append(context))

    def run(self, work: Coroutine[Any, Any, Client]) -> Client:
        return self._runner.run(work)

    def ask(
        self,
        client: Client,
        *answers: Scripted | None,
        headers: list[tuple[bytes, bytes]] | None = None,
        path: str = _CHAT.path,
    ) -> Client:
        """One request on an empty ledger, and all that must hold after it."""
        gateway, ledger = self.gateway, self.gateway.ledger
        ledger.reset()
        account = ledger.account(DOLLAR)
        key = ledger.key(account)
        left = list(answers)
        gateway.upstreams.script = lambda: left.pop(0) if left else None
        gateway.upstreams.calls, failed = 0, pump._failures.value
        gateway.worker.means.routing._health.clear()
        self.run(gateway.ask(client, key, headers or (), path))
        self.run(_idle(client))
        assert not self.failures
        assert pump._failures.value == failed
        assert client.status != 500
        assert (client.status is None) == (client.leaves == 0)
        assert not ledger.rules.reservations
        assert gateway.worker.means.drains.free == 100
        assert not gateway.worker.means.unheld._of
        closings = [kind for kind in ledger.kinds() if kind in {"Settle", "Release"}]
        assert len(closings) == len(ledger.events("CreditsReserved"))
        # A call is paid for: by a hold that was there before it.
        assert gateway.upstreams.calls <= 2 * len(closings) or path.endswith("count_tokens")
        charged = sum(int(charge["charge"]) for charge in ledger.events("CreditsCharged"))
        assert ledger.available(account) == DOLLAR - charged
        return client


async def _idle(client: Client) -> Client:
    """Let every callback run that is still to come."""
    for _ in range(5):
        await asyncio.sleep(0)
    return client


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    catalogue = catalogue_for("http://up", ANTHROPIC, **_ROUTES)
    with asyncio.Runner() as runner:
        opened = raw_gateway(tmp_path_factory.mktemp("gateway"), catalogue)
        gateway = runner.run(opened.__aenter__())
        yield Bench(runner, gateway)
        runner.run(opened.__aexit__(None, None, None))


_WHOLE = orjson.dumps(
    {
        "choices": [{"text": "a", "finish_reason": "stop"}],
        "data": [{"b64_json": "a"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
)


def healthy(surface: Surface) -> Scripted:
    for name, one in _STREAMING.items():
        if one is surface:
            return Scripted(STREAMS[name].whole)
    return Scripted([_WHOLE], headers={"content-type": "application/json"})


def asked(surface: Surface, **fields: object) -> bytes:
    stream = {"stream": True} if surface in _STREAMING.values() else {}
    return orjson.dumps(surface.good | stream | fields)


surfaces = st.sampled_from(_ALL)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(max_size=12) | st.sampled_from(["user", "text", "function", "swift-1", "default"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=240)
@given(surfaces, st.data())
def test_any_body_is_served_or_refused_in_words(
    bench: Bench, surface: Surface, data: st.DataObject
):
    some = st.dictionaries(st.sampled_from(sorted(surface.fields | _COMMON)), values, max_size=4)
    bodies = some.map(lambda fields: asked(surface, **fields))
    body = data.draw(st.binary(max_size=80) | values.map(orjson.dumps) | bodies)
    client = bench.ask(Client(body), healthy(surface), path=surface.path)
    if client.status != 200:
        error = orjson.loads(client.text)["error"]
        assert error["message"]
        assert error["code"] if "code" in error else error["details"]["error_code"]


_NAMES = [
    b"authorization", b"x-api-key", b"content-length", b"content-encoding", b"content-type",
    b"traceparent", b"x-stainless-retry-count", b"idempotency-key", b"accept", b"farebox-reservation",
    b"farebox-tags", b"anthropic-version", b"anthropic-beta",
]  # fmt: skip
_VALUES = st.binary(max_size=20) | st.sampled_from([b"Bearer ", b"Bearer fb_0_x", b"gzip", b"-1"])


@settings(max_examples=150)
@given(surfaces, st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES), max_size=5))
def test_any_header_is_taken_or_refused(
    bench: Bench, surface: Surface, headers: list[tuple[bytes, bytes]]
):
    client = Client(asked(surface))
    bench.ask(client, healthy(surface), headers=headers, path=surface.path)


_ODD = [
    b"\n\n", b": ping\n\n", b"data: {\n\n", b"data", b"\r", b"data: \xff\xfe\n\n",
    event({"error": {"message": "no"}}), event({"error": "no"}), event([]), event(None),
    orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}),
]  # fmt: skip
_HUGE = 10**9
_ODD_OF = {
    "chat": [
        said("b" * 5000), said(None), event({"choices": None}), event({"choices": [None]}),
        event({"usage": {"prompt_tokens": -1}}),
        event({"choices": [], "usage": {"prompt_tokens": _HUGE, "completion_tokens": _HUGE}}),
    ],
    "responses": [
        named("response.output_text.delta", delta="b" * 5000),
        named("response.output_text.delta", delta=None), named("response.completed"),
        named("response.completed", response={"usage": {"input_tokens": "many"}}),
        named("response.incomplete", response={"incomplete_details": {"reason": ["x"]}}),
        named("response.failed", response={}), named("error", message="no"),
        orjson.dumps({"status": "completed", "output": [None], "usage": {"input_tokens": _HUGE}}),
    ],
    "messages": [
        named("message_start"), named("message_start", message={"usage": None}), named("ping"),
        named("content_block_start", index="x"), named("content_block_delta", delta=[]),
        named("message_delta", usage={"output_tokens": _HUGE}, delta=None),
        named("error", error={"type": "overloaded_error"}), named("error"),
        orjson.dumps({"type": "message", "content": [None], "usage": {"input_tokens": -1}}),
    ],
}  # fmt: skip


def answers_of(name: str) -> st.SearchStrategy[Scripted | None]:
    events = st.sampled_from([*STREAMS[name].whole, *_ODD_OF[name], *_ODD])
    pieces = st.lists(events | st.binary(max_size=30) | st.just(BROKEN), max_size=8)
    # Also what begins well and goes on oddly.
    begun = pieces.map(lambda odd: [*STREAMS[name].relayed[:2], *odd])
    return st.none() | st.builds(
        Scripted,
        pieces | begun,
        st.sampled_from(
            [200, 200, 200, 200, 201, 204, 302, 400, 401, 404, 408, 429, 500, 529, 599]
        ),
        st.dictionaries(
            st.sampled_from(["content-type", "retry-after", "retry-after-ms", "set-cookie"]),
            st.sampled_from(
                ["text/event-stream", "application/json", "text/html", "3", "-3", "soon"]
            ),
        ).map(lambda given: {"content-type": "text/event-stream"} | given),
    )


@settings(max_examples=400)
@given(st.sampled_from(sorted(_STREAMING)), st.data())
def test_any_answer_of_any_provider_is_settled(bench: Bench, name: str, data: st.DataObject):
    answers = data.draw(st.lists(answers_of(name), max_size=2))
    stream, leaves = data.draw(st.booleans()), data.draw(st.none() | st.integers(0, 4))
    surface = _STREAMING[name]
    client = Client(asked(surface, stream=stream), leaves if stream else None)
    bench.ask(client, *answers, path=surface.path)
