"""Commands to Redis: what comes while an answer is awaited goes together in the next round trip."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.limits.away import RedisAwayError
from services.gateway.redis_client import FAILURES, open_redis

_MOST: Final = 128


@dataclass(frozen=True, slots=True)
class _Sent:
    command: tuple[Any, ...]
    answer: asyncio.Future[Any] | None


class RoundTrips:
    """One round trip after the other, so that Redis does things in the order they were sent.

    `lost(why, commands)` is told once when a round trip fails, with the commands nobody awaits.
    """

    def __init__(
        self, url: str, lost: Callable[[str, list[tuple[Any, ...]]], None], *, timeout_s: float
    ) -> None:
        self._redis = open_redis(url, timeout_s=timeout_s, retries=0)
        self._lost = lost
        self._timeout_s = timeout_s
        self._waiting: list[_Sent] = []
        self._running: asyncio.Task[None] | None = None

    def send(self, *command: Any) -> None:
        """Do something that nobody waits for."""
        self._add(_Sent(command, None))

    async def ask(self, *command: Any) -> Any:
        """The answer to a command; raises RedisAwayError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._add(_Sent(command, answer))
        return await answer

    async def try_anew(self, *commands: tuple[Any, ...]) -> bool:
        """Whether all of these work, on a connection that was made just now."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.connection_pool.disconnect()
                for command in commands:
                    await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except FAILURES:
            return False
        return True

    async def close(self) -> None:
        """Let go of the connection; what was sent has at most one time-out to arrive."""
        if self._running is not None:
            await asyncio.wait({self._running})
        await self._redis.aclose()

    def _add(self, sent: _Sent) -> None:
        self._waiting.append(sent)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="limits on Redis")

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                try:
                    answers = await self._round_trip(batch)
                except FAILURES as error:
                    self._fail(batch, error)
                    return
                for sent, answer in zip(batch, answers, strict=True):
                    if sent.answer is not None and not sent.answer.done():
                        sent.answer.set_result(answer)
        finally:
            self._running = None

    async def _round_trip(self, batch: list[_Sent]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for sent in batch:
            pipe.execute_command(*sent.command)
        async with asyncio.timeout(self._timeout_s):
            answers: list[Any] = await pipe.execute()
        return answers

    def _fail(self, batch: list[_Sent], error: Exception) -> None:
        """Nobody waits for Redis any longer."""
        everything, self._waiting = [*batch, *self._waiting], []
        self._lost(repr(error), [sent.command for sent in everything if sent.answer is None])
        for sent in everything:
            if sent.answer is not None and not sent.answer.done():
                sent.answer.set_exception(RedisAwayError(repr(error)))
