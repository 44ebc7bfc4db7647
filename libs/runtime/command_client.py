"""Asking the ledger: one road for commands and queries, repeated until answered or given up.

This is on the path of every paid request: one encoding, one NATS request, one decoding, and no
log line a call.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.events import subjects
from libs.events.codec import Malformed, decode_reply, encode_command
from libs.events.commands import Command
from libs.events.ids import partition_of
from libs.events.replies import FINAL_REPLIES, Reply
from libs.events.times import from_text
from libs.runtime import metrics
from libs.runtime.clock import Clock
from libs.runtime.errors import (
    ConnectionLost,
    InstallationMismatch,
    LedgerUnavailable,
    PermissionDenied,
    QueryFailed,
)
from libs.runtime.permission_watch import PermissionWatch

__all__ = ["CommandClient", "LedgerUnavailable", "PermissionDenied", "QueryFailed"]

ATTEMPT_S = 1.0
"""How long one attempt waits before the same bytes are sent again."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5

T = TypeVar("T")


class CommandClient:
    """A caller of the ledger: commands of one class, and queries."""

    def __init__(
        self,
        nc: Client,
        *,
        command_class: str,
        partitions: int,
        watch: PermissionWatch | None,
        clock: Clock,
    ) -> None:
        self._nc = nc
        self._partitions = partitions
        self._subjects = [subjects.command(p, command_class) for p in range(partitions)]
        self._watch = watch or PermissionWatch()
        self._clock = clock
        self._heard: tuple[str, float] | None = None
        self._retries: dict[str, metrics.Counter] = {}

    async def send(self, command: Command, *, give_up_s: float) -> Reply:
        """Send a command until it has a final reply, declines and refusals included.

        The bytes never change between attempts, so the ledger carries it out at most once.

        Raises:
            LedgerUnavailable: no final reply within ``give_up_s`` seconds; the outcome is unknown.
            PermissionDenied: this user may not send commands of this class.
            ValueError: the command breaks a bound that the ledger would refuse too.
        """
        subject = self._subjects[partition_of(command.account_id, self._partitions)]
        return await self._ask(subject, encode_command(command), give_up_s, _final_reply)

    async def query(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        account_id: str | None = None,
        partition: int | None = None,
        timeout_s: float = 2.0,
    ) -> dict[str, Any]:
        """Ask the partition of ``account_id``, or ``partition``; return the whole answer.

        Raises:
            QueryFailed: it was answered with an error code.
            LedgerUnavailable: no answer within ``timeout_s`` seconds.
            PermissionDenied: this user may not ask.
        """
        if partition is None:
            if account_id is None:
                raise ValueError("a query goes to an account's partition or to a named one")
            partition = partition_of(account_id, self._partitions)
        subject = subjects.query(partition, name)
        answer = await self._ask(subject, orjson.dumps(data), timeout_s, _answer)
        if answer.get("ok") is not True:
            raise QueryFailed(str(answer.get("code")), str(answer.get("message")))
        return answer

    async def check_installation(self, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """Compare the number of partitions with the installation's and learn the ledger's time.

        To be awaited before the process is ready; returns the data of the answer.

        Raises:
            InstallationMismatch: the installation has another number of partitions.
            LedgerUnavailable: no answer within ``timeout_s`` seconds.
        """
        answer = await self.query("installation", {}, partition=0, timeout_s=timeout_s)
        data: dict[str, Any] = answer["data"]
        if data["partitions"] != self._partitions:
            raise InstallationMismatch(self._partitions, data["partitions"])
        self._hear(data["ledger_now"])
        return data

    def ledger_now(self) -> datetime:
        """Return the ledger's time: what it last told plus what has passed since.

        Raises:
            LedgerUnavailable: the ledger has told no time yet.
        """
        if self._heard is None:
            raise LedgerUnavailable("the ledger has not told its time yet")
        text, heard_at = self._heard
        return from_text(text) + timedelta(seconds=self._clock.monotonic() - heard_at)

    async def _ask(
        self, subject: str, raw: bytes, give_up_s: float, accept: Callable[[Msg], T | str]
    ) -> T:
        """Send ``raw`` until ``accept`` takes an answer; what it does not take, it names."""
        deadline = self._clock.monotonic() + give_up_s
        pause, outcome = FIRST_PAUSE_S, None
        while (remaining := deadline - self._clock.monotonic()) > 0:
            outcome = await self._attempt(subject, raw, min(ATTEMPT_S, remaining), accept)
            if not isinstance(outcome, str):
                return outcome
            self._count(outcome)
            remaining = deadline - self._clock.monotonic()
            # Jitter: callers refused together must not come back together.
            await asyncio.sleep(min(pause * random.uniform(0.5, 1.0), max(remaining, 0)))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE_S)
        raise LedgerUnavailable(f"no final answer on {subject} within {give_up_s:g} s: {outcome}")

    async def _attempt(
        self, subject: str, raw: bytes, timeout_s: float, accept: Callable[[Msg], T | str]
    ) -> T | str:
        # While reconnecting, nats-py would keep the message and send it when nobody waits for it.
        if not self._nc.is_connected:
            return "disconnected"
        try:
            async with self._watch.guard(subject):
                message = await self._nc.request(subject, raw, timeout=timeout_s)
        except nats.errors.NoRespondersError:
            return "no_responders"
        except nats.errors.TimeoutError:
            return "timeout"
        except ConnectionLost:
            return "disconnected"
        except nats.errors.MaxPayloadError as error:
            raise ValueError(f"{len(raw)} bytes are more than NATS takes") from error
        except nats.errors.Error:
            return "connection"  # closing or draining; is_connected tells the next attempt
        if message.headers and (now := message.headers.get(subjects.LEDGER_NOW_HEADER)):
            self._hear(now)
        return accept(message)

    def _hear(self, now: str) -> None:
        """Keep the ledger's time as it came; it is parsed when somebody asks for it."""
        self._heard = (now, self._clock.monotonic())

    def _count(self, reason: str) -> None:
        if reason not in self._retries:
            self._retries[reason] = metrics.counter(
                "ledger_retries_total",
                "Attempts at the ledger that had to be repeated.",
                why=reason,
            )
        self._retries[reason].inc()


def _final_reply(message: Msg) -> Reply | str:
    reply = decode_reply(message.data)
    if isinstance(reply, Malformed):
        return "malformed"
    return reply if reply.reply in FINAL_REPLIES else reply.reply.lower()


def _answer(message: Msg) -> dict[str, Any] | str:
    try:
        answer = orjson.loads(message.data)
    except orjson.JSONDecodeError:
        return "malformed"
    return answer if isinstance(answer, dict) else "malformed"
