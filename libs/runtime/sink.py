"""Messages of one subscription, handed over as they are read from the connection.

nats-py spends more on a message between its reading and a callback than the ledger does on the
decision: five regular expressions, two coroutines, an object and a queue. A sink takes it from the
bytes instead. The use of nats-py's inside is kept here, beside `joined`; whatever is not a whole
message of a sink goes through nats-py's own parser, which hands a sink its messages too.
"""

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from libs.runtime.framing import Receive, hand_over, taken


async def subscribe_sink(nc: Client, subject: str, receive: Receive) -> Subscription:
    """Subscribe; `receive` is called for every message, before the next one is read.

    What it raises is logged: it would end the reading of the connection. Drain or unsubscribe
    the subscription as any other.
    """
    subscription = await nc.subscribe(subject, future=Sink(receive))
    client: Any = nc
    if not isinstance(client._ps, SinkParser):  # noqa: SLF001
        client._ps = SinkParser(client._ps)  # noqa: SLF001
    sinks = client._ps.sinks  # noqa: SLF001
    for ended in [sid for sid in sinks if int(sid) not in client._subs]:  # noqa: SLF001
        del sinks[ended]
    sinks[b"%d" % subscription._id] = receive  # noqa: SLF001
    return subscription


class Sink(asyncio.Future[Msg]):
    """Stands where nats-py expects a future, and is never done."""

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive

    def set_result(self, result: Msg) -> None:
        hand_over(self._receive, result.subject, result.reply, result.data)


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
            start, whole, count, size = taken(data, self.sinks)
            self.nc.stats["in_msgs"] += count
            self.nc.stats["in_bytes"] += size
            if not whole:
                self._part = data[start:]
                return
            data = data[start:]
        if data:
            await super().parse(data)
