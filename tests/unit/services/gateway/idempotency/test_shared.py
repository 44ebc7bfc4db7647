"""A Redis that is slow, or behind, holds up no end and hides no answer."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from services.gateway.exchange import Head
from services.gateway.idempotency.answers import Answer, pack
from services.gateway.idempotency.shared import SharedAnswers

pytestmark = pytest.mark.requirement("RSV-3")

ANSWER = Answer("req_1", 200, "0.25", Head(200, (), b"{}"))
TIMEOUT_S = 0.02


class Redis:
    """Answers each command by the number of those before it, after a while."""

    def __init__(self, answer: Callable[[int], bytes | None], takes_s: float = 0) -> None:
        self.commands: list[str] = []
        self.closed = False
        self._answer = answer
        self._takes_s = takes_s

    async def execute_command(self, name: str, *_: Any) -> bytes | None:
        self.commands.append(name)
        await asyncio.sleep(self._takes_s)
        return self._answer(len(self.commands))

    async def aclose(self) -> None:
        self.closed = True


def shared(redis: Redis, *, timeout_s: float = TIMEOUT_S) -> SharedAnswers:
    return SharedAnswers(cast("Any", redis), timeout_s=timeout_s, keep_s=60)


async def test_an_answer_that_is_being_written_is_found():
    """Its request is settled before the gateway that ran it hears so, and writes the answer."""
    redis = Redis(lambda number: None if number == 1 else pack(ANSWER))
    assert await shared(redis).get("acct_1", "req_1") == ANSWER


async def test_one_that_was_not_kept_is_looked_for_twice_and_no_more():
    redis = Redis(lambda _: None)
    assert await shared(redis).get("acct_1", "req_1") is None
    assert redis.commands == ["GET", "GET"]


async def test_what_waits_at_the_end_is_written():
    redis = Redis(lambda _: b"OK")
    answers = shared(redis, timeout_s=5)
    for _ in range(5):
        answers.put("acct_1", ANSWER)
    await answers.aclose()
    assert redis.commands == ["SET"] * 5
    assert redis.closed


async def test_a_slow_redis_does_not_hold_up_the_end_of_the_process():
    """Each command in time, and all together longer than a process may take to clean up."""
    redis = Redis(lambda _: b"OK", takes_s=0.8 * TIMEOUT_S)
    answers = shared(redis)
    for _ in range(64):
        answers.put("acct_1", ANSWER)
    await answers.aclose()
    assert len(redis.commands) < 10
    assert redis.closed
