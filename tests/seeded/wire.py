"""NATS between callers and the writer: drops, doubles, delays and so reorders; never corrupts."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from libs.events.commands import Command
from libs.events.fingerprints import fingerprint
from libs.events.times import from_text
from services.ledger.command_key import command_key
from services.ledger.pending import Pending

Answer = dict[str, Any]
ATTEMPT_S = 1.0
FINAL = {"Busy": False, "Retry": False}


@dataclass
class Wire:
    rng: random.Random
    loop: asyncio.AbstractEventLoop
    start: datetime
    trace: Callable[..., None]
    lossy: bool = True
    listeners: list[Callable[[Pending], None]] = field(default_factory=list)
    said: list[tuple[Command, Answer]] = field(default_factory=list)
    """Every reply a writer sent, whether it arrived or not."""
    _waiting: dict[str, tuple[Command, asyncio.Future[Answer | None]]] = field(default_factory=dict)
    _sent: int = 0
    _heard: tuple[datetime, float] | None = None

    def ledger_now(self) -> datetime:
        """The ledger's time as its last reply told, and what has passed since."""
        if self._heard is None:
            return self.start
        at, when = self._heard
        return at + timedelta(seconds=self.loop.time() - when)

    async def ask(self, who: str, command: Command, give_up_s: float) -> Answer | None:
        """The same command until it has a final reply; None when it was given up."""
        given_up = self.loop.time() + give_up_s
        pending, pause = Pending(command, command_key(command), fingerprint(command), None), 0.05
        while (left := given_up - self.loop.time()) > 0:
            answer = await self._attempt(who, pending, min(ATTEMPT_S, left))
            if answer is not None and FINAL.get(answer["reply"], True):
                return answer
            left = given_up - self.loop.time()
            await asyncio.sleep(max(0.0, min(pause * self.rng.uniform(0.5, 1.0), left)))
            pause = min(pause * 2, 0.5)
        self.trace(who, "gives up", command.kind, command.caller_id)
        return None

    async def _attempt(self, who: str, pending: Pending, timeout_s: float) -> Answer | None:
        self._sent += 1
        inbox, future = f"{who}.{self._sent}", self.loop.create_future()
        self._waiting[inbox] = (pending.command, future)
        command = pending.command
        self.trace(who, "sends", command.kind, command.caller_id, inbox)
        self._send(self._deliver, Pending(pending.command, pending.key, pending.fingerprint, inbox))
        timeout = self.loop.call_later(timeout_s, _resolve, future, None)
        answer = await future
        timeout.cancel()
        return answer

    def _send(self, deliver: Callable[..., None], *what: Any) -> None:
        rng = self.rng
        copies = 1
        if self.lossy:
            copies = rng.choices((0, 1, 2), cum_weights=(4, 94, 100))[0]
        for _ in range(copies):
            delay = rng.uniform(0.0002, 0.004)
            if self.lossy and rng.random() < 0.03:
                delay = rng.uniform(0.3, 7.0)
            self.loop.call_later(delay, deliver, *what)

    def _deliver(self, pending: Pending) -> None:
        for listener in list(self.listeners):
            listener(pending)

    async def reply(self, replies: Sequence[tuple[str, bytes]], ledger_now: str) -> None:
        for inbox, raw in replies:
            command, future = self._waiting[inbox]
            answer = orjson.loads(raw)
            self.said.append((command, answer))
            self.trace("ledger", answer["reply"], answer["position"], answer["data"], inbox)
            self._send(self._hear, future, answer, ledger_now)

    def _hear(self, future: asyncio.Future[Answer | None], answer: Answer, now: str) -> None:
        self._heard = (from_text(now), self.loop.time())
        _resolve(future, answer)


def _resolve(future: asyncio.Future[Answer | None], answer: Answer | None) -> None:
    if not future.done():
        future.set_result(answer)
