"""Whatever clients and providers send: no 500, no task that fails, no hold left, no free call."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway import pump
from services.gateway.surfaces.chat_fields import HARMLESS
from tests.support.gateway import DOLLAR, catalogue_for
from tests.support.raw_gateway import (
    BROKEN,
    DONE,
    REPORT,
    Client,
    RawGateway,
    Scripted,
    event,
    raw_gateway,
    said,
)

pytestmark = pytest.mark.requirement("PRC-7", "RSV-2")

_ROUTES = {'routes = ["north/swift-1"]': 'routes = ["north/swift-1", "south/swift-1-b"]'}
_FIELDS = sorted(
    {*HARMLESS, "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "tools",
     "service_tier", "modalities", "functions", "speed", "x"}
)  # fmt: skip


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
    ) -> Client:
        """One request on an empty ledger, and all that must hold after it."""
        gateway, ledger = self.gateway, self.gateway.ledger
        ledger.reset()
        account = ledger.account(DOLLAR)
        key = ledger.key(account)
        left = list(answers)
        gateway.upstreams.script = lambda: left.pop(0) if left else None
        gateway.upstreams.calls, failed = 0, pump._failures.value
        gateway.worker.routing._health.clear()
        self.run(gateway.ask(client, key, headers or ()))
        self.run(_idle(client))
        assert not self.failures
        assert pump._failures.value == failed
        assert client.status != 500
        assert (client.status is None) == (client.leaves == 0)
        assert not ledger.rules.reservations
        assert gateway.worker.drains.free == 100
        assert not gateway.worker.unheld._of
        closings = [kind for kind in ledger.kinds() if kind in {"Settle", "Release"}]
        assert len(closings) == len(ledger.events("CreditsReserved"))
        # A call is paid for: by a hold that was there before it.
        assert gateway.upstreams.calls <= 2 * len(closings)
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
    catalogue = catalogue_for("http://up", **_ROUTES)
    with asyncio.Runner() as runner:
        opened = raw_gateway(tmp_path_factory.mktemp("gateway"), catalogue)
        gateway = runner.run(opened.__aenter__())
        yield Bench(runner, gateway)
        runner.run(opened.__aexit__(None, None, None))


def healthy() -> Scripted:
    return Scripted([said("a"), said("b", "stop"), REPORT, DONE])


def asked(**fields: object) -> bytes:
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}
    return orjson.dumps(body | {"stream": True} | fields)


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


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80)
    | values.map(orjson.dumps)
    | st.dictionaries(st.sampled_from(_FIELDS), values, max_size=4).map(lambda f: asked(**f))
)
def test_any_body_is_served_or_refused_in_words(bench: Bench, body: bytes):
    client = bench.ask(Client(body), healthy())
    if client.status != 200:
        error = orjson.loads(client.text)["error"]
        assert error["message"]
        assert error["code"]


_NAMES = [
    b"authorization", b"x-api-key", b"content-length", b"content-encoding", b"content-type",
    b"traceparent", b"x-stainless-retry-count", b"idempotency-key", b"accept", b"farebox-reservation",
]  # fmt: skip
_VALUES = st.binary(max_size=20) | st.sampled_from([b"Bearer ", b"Bearer fb_0_x", b"gzip", b"-1"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES), max_size=5), st.booleans())
def test_any_header_is_taken_or_refused(
    bench: Bench, headers: list[tuple[bytes, bytes]], stream: bool
):
    bench.ask(Client(asked(stream=stream)), healthy(), headers=headers)


_WHOLE = orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]})
odd_events = st.sampled_from(
    [said("a"), said("b" * 5000), said("c", "stop"), said(None), REPORT, DONE, b"\n\n", b": ping\n\n",
     event({"error": {"message": "no"}}), event({"error": "no"}), event([]), event(None),
     event({"choices": None}), event({"choices": [None]}), event({"usage": {"prompt_tokens": -1}}),
     event({"choices": [], "usage": {"prompt_tokens": 10**9, "completion_tokens": 10**9}}),
     b"data: {\n\n", b"data", b"\r", b"data: \xff\xfe\n\n", _WHOLE]
)  # fmt: skip
answers = st.none() | st.builds(
    Scripted,
    st.lists(odd_events | st.binary(max_size=30) | st.just(BROKEN), max_size=8),
    st.sampled_from([200, 200, 200, 200, 201, 204, 302, 400, 401, 404, 408, 429, 500, 529, 599]),
    st.dictionaries(
        st.sampled_from(["content-type", "retry-after", "retry-after-ms", "set-cookie"]),
        st.sampled_from(["text/event-stream", "application/json", "text/html", "3", "-3", "soon"]),
    ).map(lambda given: {"content-type": "text/event-stream"} | given),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(answers, max_size=2), st.booleans(), st.none() | st.integers(0, 4))
def test_any_answer_of_any_provider_is_settled(
    bench: Bench, given_answers: list[Scripted | None], stream: bool, leaves: int | None
):
    bench.ask(Client(asked(stream=stream), leaves if stream else None), *given_answers)
