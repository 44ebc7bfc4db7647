"""Where bytes go that nobody can read: kept for a look, never in the way of what is good."""

from nats.aio.client import Client

from libs.events import subjects
from libs.runtime.metrics import counter

ERROR_MAX = 200


async def quarantine(
    nc: Client, service: str, partition: int, position: int | None, raw: bytes, error: str
) -> None:
    """Put `raw` into the stream QUARANTINE with its position and what is wrong with it.

    Counted whether or not it arrives. Raises nats.errors.Error when it cannot be sent.
    """
    counter("quarantined_total", "Messages that could not be read", service=service).inc()
    printable = "".join(c if c.isprintable() and c.isascii() else "?" for c in error)
    headers = {"Farebox-Error": printable[:ERROR_MAX].strip() or "unreadable"}
    if position is not None:
        headers[subjects.POSITION_HEADER] = str(position)
    await nc.publish(subjects.quarantine(service, partition), raw, headers=headers)
