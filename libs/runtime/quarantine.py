"""Putting bytes that cannot be understood where an operator will find them."""

import logging

from nats.aio.client import Client

from libs.events import subjects
from libs.runtime import metrics

log = logging.getLogger(__name__)

ERROR_HEADER = "Farebox-Error"
_MAX_ERROR = 300


async def quarantine(
    nc: Client, service: str, partition: int, position: int | None, raw: bytes, error: str
) -> None:
    """Put ``raw`` into stream QUARANTINE, counted and logged whether or not it arrives.

    Args:
        nc: the connection of the service, which may publish ``quarantine.<service>.*``.
        service: whose input it was.
        partition: of the ledger.
        position: of an event in the partition's log; None for a command, which has none.
        raw: the bytes as they came.
        error: what is wrong with them.

    An event is stored when this returns, once however often it is tried. A command is sent
    without waiting: its sender is told anyway, and a flood of them must not hold up the intake.

    Raises:
        nats.errors.Error: not sent, or no answer about an event: do not go on as if it were kept.
    """
    metrics.counter("quarantined_total", "Messages that could not be read.", service=service).inc()
    headers = {ERROR_HEADER: _printable(error)}
    log.error(
        "message quarantined: %s",
        headers[ERROR_HEADER],
        extra={"service": service, "partition": partition, "position": position},
    )
    subject = subjects.quarantine(service, partition)
    if position is None:
        await nc.publish(subject, raw, headers=headers)
        return
    headers[subjects.POSITION_HEADER] = str(position)
    headers["Nats-Msg-Id"] = f"{service}-{partition}-{position}"
    await nc.jetstream().publish(subject, raw, headers=headers)


def _printable(text: str) -> str:
    """Reduce to printable ASCII: a header's end must not come out of a message."""
    clean = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return clean[:_MAX_ERROR] or "?"
