"""Commands as they arrive: a raw subscription on the broker's connection.

FastStream's handler path costs ten times the CPU per message (ADR-0001), and this one is hot.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from libs.events.codec import Malformed, decode_command
from libs.events.commands import Command, allowed_class
from libs.events.fingerprints import fingerprint
from libs.events.subjects import parse_command_subject
from libs.runtime.metrics import counter
from libs.runtime.sink import subscribe_sink
from services.ledger.answers import unwritten
from services.ledger.command_key import CommandKey, command_key, is_of_partition
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.decide import is_built
from services.ledger.pending import Pending
from services.ledger.settings import LedgerSettings

log = logging.getLogger(__name__)

TAKES = {"Reserve", "Extend", "Attach", "StartRecharge"}
"""Commands that take something, and so are refused first when the ledger is overloaded."""

BUSY = {"retry_after_ms": 100}

malformed = counter("ledger_malformed_total", "Messages that are no command")
busy = counter("ledger_busy_total", "Commands answered busy because too many waited")

Reply = Callable[[str, bytes], Awaitable[None]]
Quarantine = Callable[[bytes, str], Awaitable[None]]


class Intake:
    """Checks what can be checked without state and queues the rest."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        queue: CommandQueue,
        settings: LedgerSettings,
        *,
        incarnation: int,
        reply: Reply,
        quarantine: Quarantine,
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.queue = queue
        self.incarnation = incarnation
        self._busy_above = settings.busy_above
        self._busy_all_above = settings.busy_all_above
        self._reply = reply
        self._quarantine = quarantine
        self._subscription: Subscription | None = None
        self._refusing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self, nc: Client) -> None:
        subject = f"ledger.commands.{self.partition}.*"
        self._subscription = await subscribe_sink(nc, subject, self.receive)
        await nc.flush()

    async def close(self) -> None:
        """Take no more; what was delivered is still queued."""
        try:
            if self._subscription is not None:
                await self._subscription.drain()  # type: ignore[no-untyped-call]
                self._subscription = None
        finally:
            self._closed = True  # also when the drain was cut off: nobody takes what would come
        await asyncio.gather(*self._refusing)

    def receive(self, subject: str, reply: str, data: bytes) -> None:
        """The class comes from the subject: only the server's permissions can be trusted."""
        if self._closed:
            return
        where = parse_command_subject(subject)
        if where is None or not reply.startswith("inbox."):
            # An event delivered here by a forged reply subject, or somebody without an inbox.
            self._refuse("", data, "no command subject, or no inbox to answer to")
            return
        command = decode_command(data)
        if isinstance(command, Malformed):
            self._refuse(reply, data, command.error)
            return
        key = command_key(command)
        error = self._objection(command, key, where[1])
        if error:
            self._refuse(reply, data, error)
            return
        waiting = len(self.queue)
        if waiting > self._busy_above and (command.kind in TAKES or waiting > self._busy_all_above):
            busy.inc()
            self._spawn(self._answer(reply, "Busy", command.account_id, BUSY))
            return
        self.queue.put(Pending(command, key, fingerprint(command), reply))

    def _objection(self, command: Command, key: CommandKey, cls: str) -> str | None:
        if not allowed_class(command, cls):
            return f"{command.kind} may not be sent as {cls}"
        if not is_built(command.kind):
            return f"{command.kind} is not built in this version"
        if not is_of_partition(command, key, self.partition, self.partitions):
            return f"{command.account_id} is not of partition {self.partition}"
        return None

    def _refuse(self, reply_to: str, raw: bytes, error: str) -> None:
        malformed.inc()
        self._spawn(self._tell(reply_to, raw, error))

    def _spawn(self, speaking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(speaking)
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    async def _tell(self, reply_to: str, raw: bytes, error: str) -> None:
        await self._quarantine(raw, error)
        if reply_to:
            await self._answer(reply_to, "Malformed", None, {"error": error})

    async def _answer(
        self, reply_to: str, reply: str, account_id: str | None, data: dict[str, Any]
    ) -> None:
        await self._reply(
            reply_to, orjson.dumps(unwritten(reply, account_id, self.incarnation, data))
        )
