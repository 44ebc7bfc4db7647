"""The scheduled sweep: one run per interval whatever the number of processes.

NATS itself fires it: a message schedule on the stream RECHARGE, published once. A run that is not
finished is delivered again; a newer run takes the place of one that nobody took.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from libs.events import subjects
from libs.events.times import to_text
from libs.runtime import metrics

log = logging.getLogger(__name__)

SCHEDULE = "recharge.schedule.all"
TARGET = f"{subjects.RECHARGE_SWEEP}.all"
DURABLE = "recharge"
WRONG_LAST_SEQUENCE = 10071
FETCH_S = 5.0
BACK_OFF_S = 1.0

Run = Callable[[str], Awaitable[Mapping[str, int]]]


class Sweep:
    """Schedules the sweep every `every_s` whole seconds and runs it when it fires."""

    def __init__(self, nc: Client, run: Run, *, every_s: int) -> None:
        self._js = nc.jetstream()
        self._run = run
        self._every_s = every_s
        self._runs = metrics.counter("recharge_sweeps_total", "Sweeps run to their end.")
        self._seen = metrics.gauge("recharge_sweep_accounts", "Accounts the last sweep looked at.")

    async def schedule(self) -> None:
        """Publish the schedule unless it is there; the phase of one that is there stays."""
        try:
            await self._publish({"Nats-Expected-Last-Subject-Sequence": "0"})
        except APIError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise

    async def follow(self) -> None:
        """Run each sweep that fires, for ever."""
        subscription = await self._js.pull_subscribe_bind(DURABLE, subjects.RECHARGE_STREAM)
        try:
            while True:
                for message in await _fetch(subscription):
                    await self._handle(message)
        finally:
            # Left to the connection's drain, what a fetch that timed out left behind holds it up.
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _handle(self, message: Msg) -> None:
        fired_at = message.metadata.timestamp
        run = f"sweep:{to_text(fired_at)}"
        outcomes = await self._run(run)
        self._runs.inc()
        self._seen.set(sum(outcomes.values()))
        log.info("%s looked at %d", run, sum(outcomes.values()), extra={"outcomes": dict(outcomes)})
        try:
            await self._heed_interval(message)
            await message.ack()
        except nats.errors.Error as error:
            log.warning("%s will come again: %r", run, error)

    async def _heed_interval(self, message: Msg) -> None:
        """Replace the schedule when it was made for another interval than ours."""
        if message.data != self._body():
            log.info("the sweep now comes every %d s", self._every_s)
            await self._publish({})

    async def _publish(self, expect: dict[str, str]) -> None:
        headers = {
            "Nats-Schedule": f"@every {self._every_s}s",
            "Nats-Schedule-Target": TARGET,
            **expect,
        }
        await self._js.publish(SCHEDULE, self._body(), headers=headers)

    def _body(self) -> bytes:
        return orjson.dumps({"every_s": self._every_s})


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(1, timeout=FETCH_S)
    except TimeoutError:
        return []
    except nats.errors.Error as error:
        log.warning("the sweep cannot be fetched: %r", error)
        await asyncio.sleep(BACK_OFF_S)
        return []
