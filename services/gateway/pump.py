"""The task that owns one paid request from its reservation to its settlement.

It is detached from the client's connection: a client that goes cancels nothing, and the settlement
never depends on anybody reading.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from libs.events.money import decimal_text
from libs.runtime import metrics
from services.gateway.errors import HeaderList, Refusal, internal
from services.gateway.exchange import Exchange
from services.gateway.headers import ours
from services.gateway.hold import Hold
from services.gateway.orders import Closed, Order, Served, Settlement
from services.gateway.reservations import Reservations

log = logging.getLogger(__name__)

_LAST_WORDS_S: Final = 1.0

_over_bound: Final = metrics.counter(
    "charges_over_bound_total", "Charges above their bound: an upstream broke its own limits."
)
_failures: Final = metrics.counter("pump_failures_total", "Paid requests our own code broke.")


@dataclass(slots=True)
class Outcome:
    """What came of the upstream call; without a settlement everything is given back.

    The client gets the refusal, or the whole answer, or the stream's last event.
    """

    served: Served
    settlement: Settlement | None = None
    reason: str = "operation_failed"
    refusal: Refusal | None = None
    status: int = 200
    headers: HeaderList = ()
    body: bytes | None = None
    last: bytes = b""


@dataclass(slots=True)
class Told:
    """What the `farebox-…` headers say before the settlement; `cap` 0: there is no output cap.

    Route and reason are those of the last try.
    """

    route: str
    reserved: str
    cap: int = 0
    reason: str = ""

    def headers(self) -> HeaderList:
        return ours(
            {
                "route": self.route or None,
                "route-reason": self.reason or None,
                "reserved": self.reserved,
                "max-output-tokens": self.cap or None,
            }
        )


class Job(Protocol):
    """One kind of paid work: how much to hold, and what to do with it."""

    order: Order
    amount: int
    at_least: int

    def told(self, hold: Hold) -> Told:
        """What is told about it when so much is held."""
        ...

    async def run(self, hold: Hold, told: Told, exchange: Exchange) -> Outcome:
        """Call the upstream and relay what may leave before the settlement.

        A failure of the upstream is an outcome, never an exception. When it is cancelled, the
        process ends: it returns what is to be charged, or lets the cancellation through.
        """
        ...


class Permit(Protocol):
    """Whether a job may run, and who has to know what came of it."""

    def begin(self) -> None:
        """It is asked for, in this process."""
        ...

    async def hold(self, reservations: Reservations, job: Job, exchange: Exchange) -> Hold | None:
        """What is held for it; None: it may not run, and its client has its answer.

        Raises:
            Refusal: nothing is held, and nothing may be executed.
        """
        ...

    def close(self, exchange: Exchange, closed: Closed, *, final: bool, whole: bool) -> None:
        """It ran, and its client has its answer; `final`: it was charged; `whole`: no stream."""
        ...

    def end(self) -> None:
        """Whatever came of it: it does not run any more."""
        ...


class Pumps:
    """All pumps of this process."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations
        self._running: dict[asyncio.Task[None], Exchange] = {}

    def start(self, job: Job, permit: Permit, exchange: Exchange) -> asyncio.Task[None]:
        """Run a job, if it may, in a task of its own; it is done when the request is settled."""
        permit.begin()
        return self.keep(pump(self._reservations, job, permit, exchange), exchange)

    def keep(self, work: Coroutine[Any, Any, None], exchange: Exchange) -> asyncio.Task[None]:
        """Run what answers an exchange in a task of its own."""
        task = asyncio.create_task(work)
        self._running[task] = exchange
        task.add_done_callback(self._running.pop)
        return task

    def exchanges(self) -> list[Exchange]:
        """The answers that are under way."""
        return list(self._running.values())

    async def drain(self, within_s: float) -> None:
        """Wait for all; those that run on after that are ended.

        What they delivered is charged, the rest given back.
        """
        if self._running:
            await asyncio.wait(set(self._running), timeout=within_s)
        while self._running:
            # The first time what was decided is kept and told; a client that does not take even
            # that is left the second time.
            for task in list(self._running):
                task.cancel()
            await asyncio.wait(set(self._running), timeout=_LAST_WORDS_S)


async def pump(reservations: Reservations, job: Job, permit: Permit, exchange: Exchange) -> None:
    """Hold, run, settle, and only then let the client have the end of its answer."""
    try:
        hold = await permit.hold(reservations, job, exchange)
        if hold is None:
            return
        told, outcome = await _run(reservations, job, hold, exchange)
        closed = await _close(reservations, hold, outcome)
        await _tell(exchange, job.order.unit, told, outcome, closed)
        whole = outcome.body is not None or outcome.refusal is not None
        permit.close(exchange, closed, final=outcome.settlement is not None, whole=whole)
    except Refusal as refusal:
        await exchange.refuse(refusal)
    except asyncio.CancelledError:
        exchange.abort(internal())
        raise
    except Exception:
        _failures.inc()
        log.exception("paid request %s", job.order.res)
        exchange.abort(internal())
    finally:
        permit.end()


async def _run(
    reservations: Reservations, job: Job, hold: Hold, exchange: Exchange
) -> tuple[Told, Outcome]:
    """From here on something is held: whatever happens, it has to be closed."""
    told = Told("unknown", decimal_text(hold.amount, job.order.unit))
    try:
        told = job.told(hold)
        return told, await job.run(hold, told, exchange)
    except asyncio.CancelledError:
        await reservations.abandon(job.order)
        raise
    except Exception:
        _failures.inc()
        log.exception("paid request %s", job.order.res)
        served = Served(None, told.route, (), None)
        return told, Outcome(served, reason="gateway_error", refusal=internal())


async def _close(reservations: Reservations, hold: Hold, outcome: Outcome) -> Closed:
    order = hold.order
    if outcome.settlement is None:
        return await reservations.release(order, outcome.reason, outcome.served)
    if outcome.settlement.charge > hold.most:
        _over_bound.inc()
        log.error("%s costs %d, at most %d", order.res, outcome.settlement.charge, hold.most)
    try:
        return await reservations.settle(order, outcome.settlement, outcome.served)
    except Exception:
        # A charge that cannot even be written down; the customer does not pay for our mistake.
        _failures.inc()
        log.exception("settlement of %s", order.res)
        return await reservations.release(order, "gateway_error", outcome.served)


async def _tell(
    exchange: Exchange, unit: str, told: Told, outcome: Outcome, closed: Closed
) -> None:
    amounts = {"charged": closed.charge, "available": closed.available}
    texts = {
        name: None if nanos is None else decimal_text(nanos, unit)
        for name, nanos in amounts.items()
    }
    headers = (*told.headers(), *ours(texts))
    if outcome.refusal is not None:
        await exchange.refuse(outcome.refusal, headers)
    elif exchange.started:
        await exchange.put(outcome.last)
        exchange.end()
    else:
        exchange.answer(outcome.status, (*outcome.headers, *headers), outcome.body or b"")
