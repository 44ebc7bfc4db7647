"""The rates and places of accounts on Redis, shared by all gateways that name the same one.

A Redis that does not answer in time is left alone until it does again: no request waits for it
twice, and meanwhile limits are the process's own.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from libs.catalogue import Limits
from libs.runtime import metrics
from services.gateway.limits.away import RedisAwayError
from services.gateway.limits.round_trips import RoundTrips

log = logging.getLogger(__name__)

LEASE_MS: Final = 15_000
"""How long a place outlives the gateway that took it."""
_RENEW_S: Final = 4.0
_PROBE_S: Final = 0.25
_REMEMBERED: Final = 10_000


def _script(name: str) -> tuple[str, str]:
    text = files("services.gateway.limits").joinpath(name).read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_ADMISSION, _ADMIT = _script("admission.lua")
_PLACES, _KEEP = _script("places.lua")

_failures: Final = metrics.counter(
    "limits_redis_failures_total", "Times that Redis stopped answering for the limits."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is let in (0), or refused for its rate (1) or places (2); the debt then."""

    code: int
    debt: int


class SharedLimits:
    """Asks Redis. `held` names the places that running requests have: (account, request)."""

    def __init__(
        self, url: str, held: Callable[[], Iterable[tuple[str, str]]], *, timeout_s: float
    ) -> None:
        self._held = held
        self._line = RoundTrips(url, self._lost, timeout_s=timeout_s)
        self._unsaid: deque[tuple[Any, ...]] = deque(maxlen=_REMEMBERED)
        self._away = asyncio.Event()
        self._away.set()
        metrics.gauge(
            "limits_shared", "1 while limits are shared on Redis.", read=lambda: int(self.up)
        )

    @property
    def up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return not self._away.is_set()

    async def run(self) -> None:
        """Keep the places of running requests, and notice when Redis answers again."""
        if not await self._came():
            log.error("limits hold in this process alone: Redis does not answer")
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._away.wait(), _RENEW_S)
            if self.up:
                self._keep()
                continue
            await asyncio.sleep(_PROBE_S)
            if await self._came():
                log.warning("limits are shared again: Redis answers")

    async def aclose(self) -> None:
        await self._line.close()

    async def ask(self, account_id: str, limits: Limits, request_id: str) -> Verdict:
        """Let a request in, or not.

        Raises RedisAwayError; a place may be taken all the same.
        """
        if not self.up:
            raise RedisAwayError
        rate = f"farebox:{{{account_id}}}:rate:{limits.requests}/{limits.per_ms}"
        terms = (limits.requests, limits.per_ms, limits.concurrent)
        code, debt = await self._line.ask(
            "EVALSHA", _ADMIT, 2, rate, _places(account_id), *terms, request_id, LEASE_MS
        )
        return Verdict(int(code), int(debt))

    def give_back(self, account_id: str, request_id: str) -> None:
        """A request has ended. Redis is told as soon as it answers."""
        command = ("ZREM", _places(account_id), request_id)
        if self.up:
            self._line.send(*command)
        else:
            self._unsaid.append(command)

    def _keep(self) -> None:
        """Say again which places are taken here: Redis may have lost them, or never known."""
        for account_id, request_id in self._held():
            self._line.send("EVALSHA", _KEEP, 1, _places(account_id), request_id, LEASE_MS)

    def _lost(self, why: str, commands: list[tuple[Any, ...]]) -> None:
        self._unsaid.extend(command for command in commands if command[0] == "ZREM")
        if self.up:
            self._away.set()
            _failures.inc()
            log.error("limits hold in this process alone: Redis does not answer (%s)", why)

    async def _came(self) -> bool:
        """Try what requests will ask for: a Redis that only answers PING is no help."""
        probe = ("farebox:{probe}:rate", "farebox:{probe}:places", 1000, 1000, 1, "probe", 1)
        came = await self._line.try_anew(
            ("SCRIPT LOAD", _ADMISSION), ("SCRIPT LOAD", _PLACES), ("EVALSHA", _ADMIT, 2, *probe)
        )
        if came:
            self._away.clear()
            unsaid, self._unsaid = self._unsaid, deque(maxlen=_REMEMBERED)
            for command in unsaid:
                self._line.send(*command)
            self._keep()
        return came


def _places(account_id: str) -> str:
    return f"farebox:{{{account_id}}}:places"
