"""What passes between pump and client: in order, bounded, and never in each other's way."""

import asyncio

import pytest

from services.gateway.errors import Refusal, openai_body, openai_event, plain_status
from services.gateway.exchange import Exchange


class Shape:
    error_body = staticmethod(openai_body)
    error_event = staticmethod(openai_event)
    status_of = staticmethod(plain_status)


class Client:
    """The other side of ASGI."""

    def __init__(self, *, reads: bool = True) -> None:
        self.messages: list[dict] = []
        self.left = asyncio.Event()
        self.reading = asyncio.Event()
        if reads:
            self.reading.set()

    async def receive(self) -> dict:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        await self.reading.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def exchange(stall_s: float = 30) -> Exchange:
    return Exchange("req_1", Shape(), stall_s=stall_s)


async def relayed(one: Exchange, client: Client, *, watch: bool = True) -> None:
    async with asyncio.timeout(10):
        await one.relay(client.receive, client.send, watch=watch)


async def test_a_whole_answer_is_sent_with_its_ids():
    one, client = exchange(), Client()
    one.answer(201, ((b"content-type", b"text/plain"),), b"abc")
    await relayed(one, client)
    start, body = client.messages
    assert start["status"] == 201
    assert dict(start["headers"]) == {
        b"content-type": b"text/plain",
        b"content-length": b"3",
        b"x-request-id": b"req_1",
        b"request-id": b"req_1",
        b"farebox-request-id": b"req_1",
    }
    assert body["body"] == b"abc"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_says_no_length(status: int):
    one, client = exchange(), Client()
    one.answer(status, (), b"")
    await relayed(one, client)
    assert b"content-length" not in dict(client.messages[0]["headers"])


async def test_pieces_arrive_in_order_and_the_end_is_told():
    one, client = exchange(), Client()
    relaying = asyncio.create_task(relayed(one, client))
    one.begin(200, ())
    for number in range(200):
        await one.put(b"%d," % number)
    one.end()
    await relaying
    assert client.body == b"".join(b"%d," % number for number in range(200))
    assert client.messages[-1] == {"type": "http.response.body", "body": b""}


async def test_a_refusal_before_the_beginning_is_the_answer():
    one, client = exchange(), Client()
    await one.refuse(Refusal(402, "c", "m", headers=((b"retry-after", b"1"),)), ((b"x", b"y"),))
    await relayed(one, client)
    headers = dict(client.messages[0]["headers"])
    assert client.messages[0]["status"] == 402
    assert (headers[b"retry-after"], headers[b"x"]) == (b"1", b"y")
    assert b'"code":"c"' in client.body


async def test_a_refusal_after_the_beginning_is_an_event():
    one, client = exchange(), Client()
    one.begin(200, ())
    await one.put(b"data: a\n\n")
    await one.refuse(Refusal(502, "c", "m"))
    await relayed(one, client)
    assert client.messages[0]["status"] == 200
    assert client.body.startswith(b"data: a\n\ndata: {")


async def test_the_pump_waits_for_a_slow_client_at_a_full_queue():
    one, client = exchange(), Client(reads=False)
    relaying = asyncio.create_task(relayed(one, client))
    one.begin(200, ())
    for _ in range(64):
        await one.put(b"x")
    assert one.full
    waiting = asyncio.create_task(one.put(b"y"))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    client.reading.set()
    await waiting
    one.end()
    await relaying
    assert client.body == b"x" * 64 + b"y"


async def test_a_client_that_goes_frees_the_pump_and_tells_it():
    one, client = exchange(), Client(reads=False)
    told: list[bool] = []
    one.on_gone = lambda: told.append(True)
    relaying = asyncio.create_task(relayed(one, client))
    one.begin(200, ())
    for _ in range(64):
        await one.put(b"x")
    waiting = asyncio.create_task(one.put(b"y"))
    client.left.set()
    await waiting
    assert (one.gone, told) == (True, [True])
    assert not one.full
    await one.put(b"z")
    one.end()
    client.reading.set()
    await relaying
    assert b"z" not in client.body


async def test_a_client_that_never_reads_counts_as_gone():
    one, client = exchange(stall_s=0.01), Client(reads=False)
    relaying = asyncio.create_task(relayed(one, client))
    one.begin(200, ())
    for _ in range(65):
        await one.put(b"x")
    assert one.gone
    client.reading.set()
    await relaying


async def test_the_server_cancelling_the_request_counts_as_going():
    one, client = exchange(), Client()
    relaying = asyncio.create_task(one.relay(client.receive, client.send, watch=True))
    await asyncio.sleep(0)
    relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relaying
    assert one.gone
    one.answer(200, (), b"")  # the pump is not disturbed


async def test_an_abort_never_waits():
    one, client = exchange(), Client(reads=False)
    one.abort(Refusal(500, "c", "m"))
    client.reading.set()
    await relayed(one, client)
    assert client.messages[0]["status"] == 500
    two, client = exchange(), Client(reads=False)
    two.begin(200, ())
    for _ in range(64):
        await two.put(b"x")
    two.abort(Refusal(500, "c", "m"))
    client.reading.set()
    await relayed(two, client)
    assert client.messages[-1]["body"] == b""
