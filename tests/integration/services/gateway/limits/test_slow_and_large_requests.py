"""Whatever is asked for, JSON or events: a request has limits of size and time, and so has reading."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest

from services.gateway.connections import BoundedConnection
from simulators.provider.app import RunningProvider
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    all_closed,
    catalogue_for,
    running_gateway,
    script,
    until,
)
from tests.support.slow_client import drip

pytestmark = [
    pytest.mark.requirement("LIM-2"),
    pytest.mark.parametrize("stream", [False, True], ids=["json", "events"]),
]
SETTINGS = {"client_stall_s": 0.3}
BODY_MAX = 8 * 1024 * 1024
PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/messages",
    "/v1/messages/count_tokens",
)


@pytest.fixture(scope="module")
async def the_hasty_gateway(
    tmp_path_factory: pytest.TempPathFactory, the_provider: RunningProvider
) -> AsyncIterator[RunningGateway]:
    """One without patience: what is large takes its time, and is not sent here."""
    catalogue, folder = catalogue_for(the_provider.url), tmp_path_factory.mktemp("gateway")
    async with running_gateway(folder, catalogue, GatewayLedger(), body_timeout_s=0.3) as running:
        yield running


@pytest.fixture
def untouched(ledger: GatewayLedger, provider: RunningProvider, gateway: RunningGateway):
    """Afterwards: no command was sent, no upstream called, no place is taken."""
    yield
    assert ledger.sent == []
    assert provider.record.calls == []
    assert gateway.worker.limiter.slots.total() == 0


def body(*, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "Hello"}]
    return orjson.dumps({"model": "swift-1", "messages": messages, "stream": stream})


class Connection:
    """HTTP as bytes, at the pace of the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str):
        self.reader, self.writer, self._key = reader, writer, key

    def begin(self, *headers: str, path: str = "/v1/chat/completions") -> None:
        lines = [f"POST {path} HTTP/1.1", "host: a"]
        lines += [f"authorization: Bearer {self._key}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())

    async def answer(self) -> tuple[int, str]:
        """Status, and the code of the error; of Anthropic's errors their type."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        error = orjson.loads(await self.reader.readexactly(size))["error"]
        return int(head.split(b" ")[1]), error.get("code") or error["type"]


@contextlib.asynccontextmanager
async def connection(gateway: RunningGateway, nanos: int = DOLLAR) -> AsyncIterator[Connection]:
    key = gateway.ledger.key(gateway.ledger.account(nanos))
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield Connection(reader, writer, key)
    finally:
        writer.close()


@pytest.mark.usefixtures("untouched")
class TestLargeRequests:
    @pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity, gzip", "x-of-tomorrow"])
    async def test_an_encoding_that_is_not_read_is_415(
        self, gateway: RunningGateway, stream: bool, encoding: str
    ):
        async with connection(gateway) as one:
            one.begin(f"content-encoding: {encoding}", "content-length: 9")
            assert await one.answer() == (415, "unsupported_encoding")

    async def test_too_large_a_body_is_413_before_it_is_sent(
        self, gateway: RunningGateway, stream: bool
    ):
        async with connection(gateway) as one:
            one.begin(f"content-length: {BODY_MAX + 1}")
            one.writer.write(body(stream=stream))
            assert await one.answer() == (413, "request_too_large")

    async def test_too_large_a_body_of_unsaid_length_is_413(
        self, gateway: RunningGateway, stream: bool
    ):
        async with connection(gateway) as one:
            one.begin("transfer-encoding: chunked")
            one.writer.write(b"%x\r\n" % (2 * BODY_MAX) + body(stream=stream))
            one.writer.write(b" " * (BODY_MAX + 1))
            assert await one.answer() == (413, "request_too_large")


@pytest.mark.usefixtures("untouched")
class TestSlowRequests:
    @pytest.fixture
    def the_gateway(self, the_hasty_gateway: RunningGateway) -> RunningGateway:
        return the_hasty_gateway

    @pytest.mark.parametrize("drips", [False, True], ids=["nothing", "drops"])
    async def test_a_body_that_does_not_come_is_408(
        self, gateway: RunningGateway, stream: bool, drips: bool
    ):
        async with connection(gateway) as one:
            one.begin("content-length: 1000")
            drops = body(stream=stream) if drips else b""
            sending = asyncio.create_task(drip(one.writer, drops))
            assert await one.answer() == (408, "request_timeout")
            sending.cancel()
            await asyncio.wait({sending})
            with contextlib.suppress(ConnectionResetError):  # a drop came after the end
                assert await one.reader.read() == b"", "and the rest is not waited for"

    async def test_a_body_that_does_not_come_is_408_on_every_surface(
        self, gateway: RunningGateway, stream: bool
    ):
        async def told(path: str) -> tuple[int, str]:
            async with connection(gateway) as one:
                one.begin("content-length: 1000", path=path)
                one.writer.write(body(stream=stream))
                return await one.answer()

        answers = dict(zip(PATHS, await asyncio.gather(*map(told, PATHS)), strict=True))
        openai, anthropic = (408, "request_timeout"), (408, "invalid_request_error")
        assert answers == {path: anthropic if "messages" in path else openai for path in PATHS}


async def test_an_answer_that_is_not_read_is_charged_and_let_go(
    gateway: RunningGateway,
    ledger: GatewayLedger,
    provider: RunningProvider,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
):
    ended: list[object] = []
    original = BoundedConnection.connection_lost

    def lost(self: BoundedConnection, exc: Exception | None) -> None:
        ended.append(self.client)
        original(self, exc)

    monkeypatch.setattr(BoundedConnection, "connection_lost", lost)
    script(provider, words=4000, word_bytes=4096, ignore_cap=True)
    async with connection(gateway, 100 * DOLLAR) as one:
        one.reader._transport.pause_reading()
        sent = body(stream=stream)
        one.begin(f"content-length: {len(sent)}")
        one.writer.write(sent)
        await all_closed(ledger)
        await until(lambda: not gateway.worker.limiter.slots.total())
        assert len(ledger.events("CreditsCharged")) == 1
        me = one.writer.get_extra_info("sockname")
        await until(lambda: me in ended)
        one.reader._transport.resume_reading()
        size = 0
        with contextlib.suppress(ConnectionError):
            while piece := await one.reader.read(1 << 20):
                size += len(piece)
                await asyncio.sleep(0)
        assert size < 4000 * 4096
