"""Looks whether a request has an Idempotency-Key, and whether it was asked for before."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.types import Scope

from services.gateway.context import Gateway
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.claim import Claim, Memory
from services.gateway.idempotency.naming import attempt_id, digest_of, key_of
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.refusals import (
    in_progress,
    mismatch,
    not_replayable,
    not_supported,
)
from services.gateway.idempotency.unclaimed import UNCLAIMED, Unclaimed
from services.gateway.keys import KeyInfo
from services.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from services.gateway.idempotency.shared import SharedAnswers


class Claims:
    """The requests of one worker."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def of(
        self, scope: Scope, key: KeyInfo, body: bytes, under: str | None
    ) -> Claim | Unclaimed | Answer:
        """The claim of a request that is to run once, if it has a key; or the answer it had.

        Raises:
            Refusal: it runs, another had its key, its answer cannot be told again, or its header
                is none.
        """
        text = key_of(scope["headers"])
        if text is None:
            return UNCLAIMED
        if under:
            raise not_supported()
        digest = digest_of(scope, body)
        name = attempt_id(key.account_id, text, 0)
        running = self._memory.records.running(name)
        if running is not None:
            if not running.is_of(key.key_id, digest):
                raise mismatch()
            raise in_progress(running.request_id)
        ended = self._memory.records.ended(name)
        if ended is None:
            return Claim(self._memory, key, text, digest, 0)
        if ended.answer is None:
            # It was charged nothing: whatever is asked for now may run, as the next try.
            return Claim(self._memory, key, text, digest, ended.attempt)
        if not ended.is_of(key.key_id, digest):
            raise mismatch()
        if ended.answer.head is None:
            raise not_replayable(ended.answer, key.unit)
        return ended.answer


@contextlib.asynccontextmanager
async def open_claims(gateway: Gateway) -> AsyncIterator[Claims]:
    """The claims of a worker, with the memory that its settings give them."""
    settings = gateway.settings
    records = Records(
        gateway.clock, most=settings.idempotency_bytes, keep_s=settings.idempotency_keep_s
    )
    async with _shared(settings) as shared:
        yield Claims(Memory(records, gateway.ledger, settings.idempotency_answer_max, shared))


@contextlib.asynccontextmanager
async def _shared(settings: GatewaySettings) -> AsyncIterator["SharedAnswers | None"]:
    """The answers on Redis; None where there are to be none."""
    if not settings.redis_url or not settings.idempotency_on_redis:
        yield None
        return
    from services.gateway.idempotency.shared import SharedAnswers  # noqa: PLC0415 - slow to import
    from services.gateway.redis_client import open_redis  # noqa: PLC0415

    timeout_s = settings.redis_timeout_s
    # Again once: the server may have closed a connection that nobody used for long.
    redis = open_redis(settings.redis_url, timeout_s=timeout_s, retries=1)
    answers = SharedAnswers(redis, timeout_s=timeout_s, keep_s=settings.idempotency_keep_s)
    async with contextlib.aclosing(answers):
        yield answers
