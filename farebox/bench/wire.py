"""The smallest NATS client that can make requests: so that load costs as little as it may.

nats-py spends more CPU on a request than the ledger does on the command in it; on a machine that
serves both, a benchmark with it would measure the client. The protocol is described on
docs.nats.io as "client protocol".
"""

import asyncio
import secrets
from typing import Self, cast
from urllib.parse import urlsplit

import orjson

NO_RESPONDERS = b"NATS/1.0 503"


class NoResponders(Exception):
    """Nobody listens on the subject."""


class Wire(asyncio.Protocol):
    """One connection; `request` waits for the answer on an inbox of its own."""

    def __init__(self, user: str, password: str) -> None:
        # Of its own: what two connections share, each would take for the answer to its own.
        self.inbox = f"inbox.{user}.{secrets.token_hex(8)}".encode()
        self.subscribes = b"%b.*" % self.inbox
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._login = {
            "user": user, "pass": password, "verbose": False, "headers": True,
            "no_responders": True, "lang": "bench", "version": "1", "protocol": 1,
        }  # fmt: skip
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._number = 0
        self._buffer = b""
        self._transport: asyncio.Transport

    @classmethod
    async def connect(cls, url: str, user: str, password: str) -> Self:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(
            lambda: cls(user, password), parts.hostname or "127.0.0.1", parts.port or 4222
        )
        await asyncio.wait_for(wire.ready, 5)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its shape
        self._transport.write(
            b"CONNECT " + orjson.dumps(self._login) + b"\r\n"
            + b"SUB %b 1\r\nPING\r\n" % self.subscribes
        )  # fmt: skip

    def request(self, subject: bytes, payload: bytes) -> asyncio.Future[bytes]:
        """Send and return a future of the answer's payload."""
        self._number += 1
        token = b"%d" % self._number
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        self._transport.write(
            b"PUB %b %b.%b %d\r\n%b\r\n" % (subject, self.inbox, token, len(payload), payload)
        )
        return future

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while (end := buffer.find(b"\r\n", start)) >= 0:
            line = buffer[start:end]
            if line.startswith((b"MSG", b"HMSG")):
                fields = line.split(b" ")
                after = end + 4 + int(fields[-1])
                if len(buffer) < after:
                    break
                self.delivered(fields, buffer[end + 2 : after - 2])
                start = after
                continue
            if line == b"PING":
                self._transport.write(b"PONG\r\n")
            elif line == b"PONG" and not self.ready.done():
                self.ready.set_result(None)
            elif line.startswith(b"-ERR"):
                self._fail(RuntimeError(line.decode()))
            start = end + 2
        self._buffer = buffer[start:]

    def delivered(self, fields: list[bytes], message: bytes) -> None:
        """Take one message: the words of its first line, and its headers and payload as one."""
        head = int(fields[-2]) if fields[0] == b"HMSG" else 0
        future = self._waiting.pop(fields[1].rsplit(b".", 1)[1], None)
        if future is not None and not future.done():
            if head == len(message) and message.startswith(NO_RESPONDERS):
                future.set_exception(NoResponders())
            else:
                future.set_result(message[head:])

    def _fail(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()
