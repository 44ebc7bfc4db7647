"""Answers on Redis, where the other gateways find them. Nothing depends on them being there.

A Redis that does not answer in time is as one that has nothing: a repeat is told that its answer
cannot be told again, and nothing is charged twice.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from libs.runtime import metrics
from libs.runtime.ending import end
from services.gateway.idempotency.answers import Answer, pack, unpack

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 64
_LAST_WRITES: Final = 4
"""Time-outs that what waits at the end has to arrive: a slow Redis does not hold up a process."""
_failures: Final = metrics.counter(
    "idempotency_redis_failures_total", "Answers that Redis did not take or give."
)


class SharedAnswers:
    """Keeps answers for `keep_s` seconds, one after the other, while requests go on."""

    def __init__(self, redis: "Redis", *, timeout_s: float, keep_s: float) -> None:
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

    async def close(self) -> None:
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
        from redis.exceptions import RedisError  # noqa: PLC0415 - as slow as the client itself

        try:
            async with asyncio.timeout(self._timeout_s):
                answer: bytes | None = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            _failures.inc()
            log.warning("%s of an answer on Redis: %r", command[0], error)
            return None
        return answer


def _name(account_id: str, request_id: str) -> str:
    return f"farebox:{{{account_id}}}:answer:{request_id}"


@contextlib.asynccontextmanager
async def open_shared(
    redis_url: str, *, timeout_s: float, keep_s: float
) -> AsyncIterator[SharedAnswers | None]:
    """Answers on the Redis at `redis_url`; None without one."""
    if not redis_url:
        yield None
        return
    # The client of Redis takes longer to import than all the rest: only who uses it waits.
    from redis.asyncio import Redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    redis = Redis.from_url(
        redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # Once, at once: the server may have closed a connection that nobody used for long.
        retry=Retry(NoBackoff(), 1),
    )
    shared = SharedAnswers(redis, timeout_s=timeout_s, keep_s=keep_s)
    try:
        yield shared
    finally:
        await shared.close()
