"""The one NATS connection of a process, made so that it cannot fail in silence."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import nats.errors
from faststream import AckPolicy
from faststream.nats import NatsBroker, NatsRouter
from faststream.nats.broker.broker import UNRECOVERABLE_CONNECT_ERRORS
from faststream.security import SASLPlaintext
from nats.aio.client import Client

from libs.runtime import metrics
from libs.runtime.errors import BrokerUnavailable, ConnectionLost, PermissionDenied
from libs.runtime.health import Health
from libs.runtime.permission_watch import PermissionWatch
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle

__all__ = [
    "BrokerUnavailable",
    "ConnectionLost",
    "PermissionDenied",
    "PermissionWatch",
    "broker_watch",
    "open_broker",
]

log = logging.getLogger(__name__)

FIRST_CONNECT_S = 30.0
RECONNECT_WAIT_S = 0.2
STOP_S = 10.0

_watches: WeakKeyDictionary[NatsBroker, PermissionWatch] = WeakKeyDictionary()


def broker_watch(broker: NatsBroker) -> PermissionWatch:
    """Return the watch over what NATS refuses this broker's connection."""
    return _watches[broker]


@contextlib.asynccontextmanager
async def open_broker(
    settings: Settings,
    user: str,
    lifecycle: Lifecycle,
    health: Health,
    *,
    routers: Sequence[NatsRouter] = (),
    first_connect_s: float = FIRST_CONNECT_S,
) -> AsyncIterator[NatsBroker]:
    """Connect as NATS user ``user`` and yield the started broker; stop it on the way out.

    It reconnects for ever. The process ends when the connection is closed for good or the server
    stops accepting the user; it is not ready while disconnected or after a refused subject.

    Raises:
        BrokerUnavailable: no connection within ``first_connect_s`` seconds, or the user is refused.
    """
    guardian = _Guardian(user, lifecycle)
    broker = NatsBroker(
        settings.nats_url,
        name=settings.process_name or user,
        security=SASLPlaintext(username=user, password=settings.nats_password.get_secret_value()),
        inbox_prefix=f"inbox.{user}",
        max_reconnect_attempts=-1,  # a client that gives up makes pull loops spin
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # seconds, only slept on
        error_cb=guardian.error,
        disconnected_cb=guardian.disconnected,
        reconnected_cb=guardian.reconnected,
        closed_cb=guardian.closed,
        ack_policy=AckPolicy.NACK_ON_ERROR,  # the default ends a message whose handler raised
        graceful_timeout=STOP_S,
        routers=routers,
        logger=None,  # a line per message costs more than its handler
    )
    _watches[broker] = guardian.watch
    await _start(broker, guardian, settings.nats_url, first_connect_s)
    health.add("nats", lambda: None if _connected(broker) else "not connected to NATS")
    health.add("nats_permissions", guardian.watch.problem)
    try:
        yield broker
    finally:
        guardian.ending = True
        await _stop(broker)


async def _start(broker: NatsBroker, guardian: "_Guardian", url: str, within_s: float) -> None:
    """Start the broker, turning endless waiting into an error that says what is wrong."""
    try:
        # With endless reconnects the client also waits for ever for its first server.
        await asyncio.wait_for(broker.start(), within_s)
    except TimeoutError as error:
        guardian.ending = True
        last = f": {guardian.last_error}" if guardian.last_error else ""
        raise BrokerUnavailable(f"no NATS server at {url} within {within_s:g} s{last}") from error
    except nats.errors.Error as error:
        guardian.ending = True
        raise BrokerUnavailable(f"NATS at {url} refuses user {guardian.user}: {error}") from error
    guardian.started = True


async def _stop(broker: NatsBroker) -> None:
    connection = broker.connection
    try:
        async with asyncio.timeout(STOP_S):
            await broker.stop()  # drains, which a connection that is down refuses
    except (nats.errors.Error, TimeoutError, OSError, RuntimeError) as error:
        # RuntimeError is uvloop's word for a transport that the server has closed.
        log.warning("NATS connection closed without draining: %r", error)
        with contextlib.suppress(nats.errors.Error, OSError, RuntimeError):
            await connection.close()


def _connected(broker: NatsBroker) -> bool:
    connection: Client = broker.connection
    return connection.is_connected


class _Guardian:
    """The connection's callbacks: count, tell, and end the process where waiting is hopeless."""

    def __init__(self, user: str, lifecycle: Lifecycle) -> None:
        self.user = user
        self.watch = PermissionWatch()
        self.started = False
        self.ending = False
        self.last_error: Exception | None = None
        self._lifecycle = lifecycle
        self._errors = metrics.counter("nats_errors_total", "Errors of the NATS connection.")
        self._refused = metrics.counter("nats_refused_total", "Subjects NATS refused us.")
        self._dropped = metrics.counter("nats_dropped_total", "Messages dropped: consumer slow.")
        self._reconnects = metrics.counter("nats_reconnects_total", "Reconnections to NATS.")

    async def error(self, error: Exception) -> None:
        self._errors.inc()
        denied = self.watch.see(error)
        if denied is not None:
            self._refused.inc()
            log.error("%s", denied)
        elif isinstance(error, nats.errors.SlowConsumerError):
            self._dropped.inc()
            log.error("message dropped, consumer too slow: %s", error.subject)
        elif repr(error) != repr(self.last_error):  # an absent server repeats itself
            log.warning("NATS connection: %r", error)
        self.last_error = error
        if self.started and _unrecoverable(error):
            # FastStream raises it inside the client's reconnecting task: that ends without closing
            # and the connection would stay down for ever. Told here, it needs no second traceback.
            self._die(f"NATS refuses user {self.user}: {error}")
            if task := asyncio.current_task():
                task.add_done_callback(_retrieve)

    async def disconnected(self) -> None:
        self.watch.connection_lost()
        if self.started and not self.ending:
            log.warning("NATS connection lost")

    async def reconnected(self) -> None:
        self._reconnects.inc()
        self.last_error = None
        self.watch.connection_made()
        log.info("NATS connection is back")

    async def closed(self) -> None:
        self.watch.connection_lost()
        if self.started:
            self._die("NATS connection closed")

    def _die(self, reason: str) -> None:
        if not self.ending and not self._lifecycle.stopping.is_set():
            self._lifecycle.die(reason)


def _unrecoverable(error: Exception) -> bool:
    reason = str(error).removeprefix("nats: ").strip("'").lower()
    return isinstance(error, nats.errors.Error) and reason in UNRECOVERABLE_CONNECT_ERRORS


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
