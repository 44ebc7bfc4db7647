"""The model provider of the benchmark: the same bytes for everybody, at next to no cost.

`POST …/chat/completions`: one JSON answer, or, when the body asks to stream, EVENTS events, one
every PAUSE_S seconds, the way a model gives them. It reads the request's length and nothing else.
"""

import asyncio
import signal
import sys
from typing import Final

import uvloop

EVENTS: Final = 60
PAUSE_S: Final = 0.005
_USAGE: Final = (
    b'"usage":{"prompt_tokens":1200,"completion_tokens":350,"total_tokens":1550,'
    b'"prompt_tokens_details":{"cached_tokens":0}}'
)
_TEXT: Final = b"A fare is paid before the ride. " * 8
_HEAD: Final = b'"id":"chatcmpl-1","created":1700000000,"model":"swift-1"'
_WHOLE: Final = (
    b'{%b,"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"%b","refusal":null},"logprobs":null,"finish_reason":"stop"}],%b}'
    % (_HEAD, _TEXT, _USAGE)
)
_JSON: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_WHOLE), _WHOLE)
)
_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: bytes, finish: bytes) -> bytes:
    return _chunk(
        b'data: {%b,"object":"chat.completion.chunk","choices":[{"index":0,"delta":{%b},'
        b'"logprobs":null,"finish_reason":%b}],"usage":null}\n\n' % (_HEAD, delta, finish)
    )


_EVENTS: Final = [
    *[_event(b'"content":"word%d "' % number, b"null") for number in range(EVENTS - 3)],
    _event(b"", b'"stop"'),
    _chunk(b'data: {%b,"object":"chat.completion.chunk","choices":[],%b}\n\n' % (_HEAD, _USAGE)),
    _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
]


class Stub(asyncio.Protocol):
    """One connection: requests one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
        if len(body) < length:
            return
        self._buffer = body[length:]
        streams = b'"stream":true' in body[:length].replace(b" ", b"")
        if streams:
            self._transport.write(_STREAM + _EVENTS[0])
            self._later(1)
        else:
            self._transport.write(_JSON)

    def _later(self, number: int) -> None:
        asyncio.get_running_loop().call_later(PAUSE_S, self._go_on, number)

    def _go_on(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_EVENTS[number])
        if number + 1 < len(_EVENTS):
            self._later(number + 1)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
