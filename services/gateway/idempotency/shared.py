"""Answers on Redis, where the other gateways find them. Nothing depends on them being there.

A Redis that does not answer in time is as one that has nothing: a repeat is told that its answer
cannot be told again, and nothing is charged twice.
"""

import asyncio
import logging
from collections import deque
from typing import Final

from redis.asyncio import Redis

from libs.runtime import metrics
from libs.runtime.ending import end
from services.gateway.idempotency.answers import Answer, pack, unpack
from services.gateway.redis_client import FAILURES

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 64
_LAST_WRITES: Final = 4
"""Time-outs that what waits at the end has to arrive: a slow Redis does not hold up a process."""
_failures: Final = metrics.counter(
    "idempotency_redis_failures_total", "Answers that Redis did not take or give."
)


class SharedAnswers:
    """Keeps answers for `keep_s` seconds, one after the other, while requests go on."""

    def __init__(self, redis: Redis, *, timeout_s: float, keep_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._keep_s = keep_s
        self._waiting: deque[tuple[str, Answer]] = deque(maxlen=_MOST_WAITING)
        self._writing: asyncio.Task[None] | None = None

    def put(self, account_id: str, answer: Answer) -> None:
        """Keep an answer, as soon as Redis takes it; of too many that wait the oldest are lost."""
        self._waiting.append((_name(account_id, answer.request_id), answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="answers to Redis")

    async def get(self, account_id: str, request_id: str) -> Answer | None:
        """The answer to a request that is settled, None when Redis has none or does not say.

        Looks twice: the gateway that was told so may only now be writing it.
        """
        name = _name(account_id, request_id)
        raw = await self._ask("GET", name)
        if raw is None:
            await asyncio.sleep(self._timeout_s)
            raw = await self._ask("GET", name)
        return None if raw is None else unpack(raw)

    async def aclose(self) -> None:
        """Let go of the connection, after what waits."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_LAST_WRITES * self._timeout_s)
            await end(self._writing)
        await self._redis.aclose()

    async def _write(self) -> None:
        while self._waiting:
            name, answer = self._waiting.popleft()
            kept = await self._ask("SET", name, pack(answer), "PX", int(self._keep_s * 1000))
            if kept is None:
                self._waiting.clear()  # nothing waits for a Redis that is away, nor does our end

    async def _ask(self, *command: str | bytes | int) -> bytes | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer: bytes | None = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except FAILURES as error:
            _failures.inc()
            log.warning("%s of an answer on Redis: %r", command[0], error)
            return None
        return answer


def _name(account_id: str, request_id: str) -> str:
    return f"farebox:{{{account_id}}}:answer:{request_id}"
