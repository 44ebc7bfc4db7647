"""Lets a request in, or says why not, before anything else is done for it (LIM-1, LIM-2)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from libs.catalogue import Limits
from libs.runtime import metrics
from libs.runtime.clock import Clock
from libs.runtime.ending import beside
from services.gateway.limits.away import RedisAwayError
from services.gateway.limits.buckets import Buckets
from services.gateway.limits.rate import Standing, standing
from services.gateway.limits.slots import Slot, Slots

if TYPE_CHECKING:
    from services.gateway.limits.shared import SharedLimits

Limit = Literal["rate", "concurrent"]

_REFUSED: Final[dict[Limit, metrics.Counter]] = {
    "rate": metrics.counter("requests_limited_total", "Requests refused by a limit.", limit="rate"),
    "concurrent": metrics.counter(
        "requests_limited_total", "Requests refused by a limit.", limit="concurrent"
    ),
}
_BY_CODE: Final[dict[int, Limit]] = {1: "rate", 2: "concurrent"}


class Admission(NamedTuple):
    """What became of a request: let in with a slot, or `refused` by a limit."""

    standing: Standing
    slot: Slot
    refused: Limit | None = None


class Limiter:
    """The limits of this process; of all processes while Redis answers.

    The process counts for itself all the while, so that it goes on from there when Redis is gone.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets = Buckets()
        self.slots = Slots()
        self.shared: SharedLimits | None = None
        metrics.gauge("paid_requests_running", "Paid requests under way.", read=self.slots.total)

    async def admit(self, account_id: str, limits: Limits, request_id: str) -> Admission:
        """Count a request of an account if its limits allow it; `concurrent` 0 is no cap."""
        shared = self.shared
        if shared is None or not shared.up:
            admission = self._alone(account_id, limits, request_id)
        else:
            admission = await self._together(shared, account_id, limits, request_id)
        if admission.refused is not None:
            _REFUSED[admission.refused].inc()
        return admission

    def _alone(self, account_id: str, limits: Limits, request_id: str) -> Admission:
        now_ms = self._now_ms()
        if limits.concurrent and self.slots.busy(account_id) >= limits.concurrent:
            found = self._buckets.look(account_id, limits, now_ms)
            return Admission(found, _NONE, "concurrent")
        found = self._buckets.take(account_id, limits, now_ms)
        if found.wait_ms:
            return Admission(found, _NONE, "rate")
        return Admission(found, self._slot(account_id, limits, request_id))

    async def _together(
        self, shared: "SharedLimits", account_id: str, limits: Limits, request_id: str
    ) -> Admission:
        try:
            verdict = await shared.ask(account_id, limits, request_id)
        except RedisAwayError:
            admission = self._alone(account_id, limits, request_id)
            if admission.refused is not None:
                shared.give_back(account_id, request_id)
            return admission
        except asyncio.CancelledError:
            shared.give_back(account_id, request_id)
            raise
        refused = _BY_CODE.get(verdict.code)
        found = standing(limits, verdict.debt, allowed=refused != "rate")
        if refused is not None:
            return Admission(found, _NONE, refused)
        self._buckets.take(account_id, limits, self._now_ms())
        return Admission(found, self._slot(account_id, limits, request_id))

    def _slot(self, account_id: str, limits: Limits, request_id: str) -> Slot:
        if not limits.concurrent:
            return _NONE
        self.slots.take(account_id, request_id)
        return Slot(partial(self._give_back, account_id, request_id))

    def _give_back(self, account_id: str, request_id: str) -> None:
        self.slots.give_back(account_id, request_id)
        if self.shared is not None:
            self.shared.give_back(account_id, request_id)

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)


_NONE: Final = Slot(lambda: None)


@contextlib.asynccontextmanager
async def open_limiter(clock: Clock, redis_url: str, *, timeout_s: float) -> AsyncIterator[Limiter]:
    """The limiter of a worker; without a `redis_url` its limits are its own."""
    limiter = Limiter(clock)
    if not redis_url:
        yield limiter
        return
    # The client of Redis takes longer to import than all the rest: only who uses it waits.
    from services.gateway.limits.shared import SharedLimits  # noqa: PLC0415

    shared = limiter.shared = SharedLimits(redis_url, limiter.slots.all, timeout_s=timeout_s)
    async with contextlib.aclosing(shared), beside(shared.run()):
        yield limiter
