"""A road to Postgres that breaks at the one statement a test is about: before it, or after."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

READY = b"Z\x00\x00\x00\x05"
"""How the server ends its answer to a statement: it is committed, or refused, by then."""
CHUNK = 65536


class Cut(Enum):
    """When the connection breaks."""

    BEFORE_THE_COMMIT = "the statement never reaches the server"
    AFTER_THE_COMMIT = "the statement is committed, its answer never arrives"


class CuttingProxy:
    """Forwards connections to one server. Once told to, it cuts the one that sends some bytes."""

    def __init__(self, dsn: str) -> None:
        self._dsn = urlsplit(dsn)
        self._marker = b""
        self._cut = Cut.BEFORE_THE_COMMIT
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0

    @property
    def dsn(self) -> str:
        """The server's address, by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, _, _ = self._dsn.netloc.rpartition("@")
        return urlunsplit(self._dsn._replace(netloc=f"{user}@127.0.0.1:{port}"))

    def cut_once(self, marker: bytes, cut: Cut) -> None:
        """Cut the next connection whose client sends these bytes, and none after it."""
        self._marker, self._cut = marker, cut

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        host, port = self._dsn.hostname, self._dsn.port
        there_reader, there_writer = await asyncio.open_connection(host, port)
        road = _Road(self, reader, writer, there_reader, there_writer)
        try:
            await road.run()
        finally:
            for end in (writer, there_writer):
                end.transport.abort()

    def meets(self, sent: bytes) -> Cut | None:
        """How to cut the connection that sent these bytes; None to leave it alone."""
        if not self._marker or self._marker not in sent:
            return None
        self._marker = b""
        self.cuts += 1
        return self._cut


class _Road:
    """One connection, in both directions."""

    def __init__(
        self,
        proxy: CuttingProxy,
        here_reader: asyncio.StreamReader,
        here_writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._here = here_reader, here_writer
        self._there = there_reader, there_writer
        self._swallowing = False

    async def run(self) -> None:
        """Until either end closes, or it is cut."""
        ways = {asyncio.create_task(self._up()), asyncio.create_task(self._down())}
        _, waiting = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in waiting:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self) -> None:
        """From the client to the server; the marker may come in two pieces."""
        reader, writer = self._here[0], self._there[1]
        tail = b""
        while chunk := await reader.read(CHUNK):
            cut = self._proxy.meets(tail + chunk)
            tail = chunk[-256:]
            if cut is Cut.BEFORE_THE_COMMIT:
                return
            self._swallowing = self._swallowing or cut is Cut.AFTER_THE_COMMIT
            writer.write(chunk)
            await writer.drain()

    async def _down(self) -> None:
        """From the server to the client; a swallowed answer ends both."""
        reader, writer = self._there[0], self._here[1]
        swallowed = b""
        while chunk := await reader.read(CHUNK):
            if self._swallowing:
                swallowed += chunk
                if READY in swallowed:
                    return
                continue
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def cutting_proxy(dsn: str) -> AsyncIterator[CuttingProxy]:
    """A proxy before the server of an address, for as long as the block lasts."""
    proxy = CuttingProxy(dsn)
    proxy._server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)  # noqa: SLF001
    try:
        yield proxy
    finally:
        assert proxy._server is not None  # noqa: SLF001
        proxy._server.close()  # noqa: SLF001
        for task in list(proxy._tasks):  # noqa: SLF001
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*proxy._tasks, return_exceptions=True)  # noqa: SLF001
