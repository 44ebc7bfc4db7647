"""Messages of one subscription, handed over as they are read from the connection.

nats-py spends more on a message between its reading and a callback than the ledger does on the
decision: five regular expressions, two coroutines, an object and a queue. A sink takes it from the
bytes instead. The use of nats-py's inside is kept here, beside `joined`; whatever is not a whole
message of a sink goes through nats-py's own parser, which hands a sink its messages too.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

log = logging.getLogger(__name__)

Receive = Callable[[str, str, bytes], None]
"""(subject, reply subject or empty, data) → takes the message at once."""


async def subscribe_sink(nc: Client, subject: str, receive: Receive) -> Subscription:
    """Subscribe; `receive` is called for every message, before the next one is read.

    What it raises is logged: it would end the reading of the connection. Drain or unsubscribe
    the subscription as any other.
    """
    sink = Sink(receive)
    subscription = await nc.subscribe(subject, future=sink)
    client: Any = nc
    if not isinstance(client._ps, SinkParser):  # noqa: SLF001
        client._ps = SinkParser(client._ps)  # noqa: SLF001
    sinks = client._ps.sinks  # noqa: SLF001
    for ended in [sid for sid in sinks if int(sid) not in client._subs]:  # noqa: SLF001
        del sinks[ended]
    sinks[b"%d" % subscription._id] = sink.take  # noqa: SLF001
    return subscription


class Sink(asyncio.Future[Msg]):
    """Stands where nats-py expects a future, and is never done."""

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive

    def set_result(self, result: Msg) -> None:
        self.take(result.subject, result.reply, result.data)

    def take(self, subject: str, reply: str, data: bytes) -> None:
        try:
            self._receive(subject, reply, data)
        except Exception:
            log.exception("a message was not understood")


class SinkParser(Parser):
    """nats-py's parser with a short way for whole messages of sinks, by subscription id."""

    def __init__(self, before: Parser) -> None:
        super().__init__(before.nc)
        self.buf, self.state = before.buf, before.state
        self.needed, self.header_needed = before.needed, before.header_needed
        self.msg_arg = before.msg_arg
        self.sinks: dict[bytes, Receive] = {}
        self._part = b""

    def reset(self) -> None:
        """Begin anew, as after a lost connection."""
        super().reset()
        self._part = b""

    async def parse(self, data: bytes = b"") -> None:
        if self._part:
            data, self._part = self._part + data, b""
        if self.state == AWAITING_CONTROL_LINE and not self.buf:
            start, whole = self._take(data)
            if not whole:
                self._part = data[start:]
                return
            data = data[start:]
        if data:
            await super().parse(data)

    def _take(self, data: bytes) -> tuple[int, bool]:
        """Hand over what can be; where that ended, and False when the next is not all here."""
        start, end, count, size_in_all = 0, len(data), 0, 0
        whole = True
        while data.startswith(b"MSG ", start):
            line = data.find(b"\r\n", start)
            if line < 0:
                whole = False
                break
            fields = data[start + 4 : line].split(b" ")
            take = self.sinks.get(fields[1]) if len(fields) > 2 else None
            if take is None:
                break
            size = int(fields[-1])
            after = line + 4 + size
            if after > end:
                whole = False
                break
            reply = fields[2].decode(errors="replace") if len(fields) == 4 else ""
            take(fields[0].decode(errors="replace"), reply, data[line + 2 : after - 2])
            count, size_in_all, start = count + 1, size_in_all + size, after
        if count:
            stats = self.nc.stats
            stats["in_msgs"] += count
            stats["in_bytes"] += size_in_all
        return start, whole
