"""Many messages written to a NATS connection at once.

The one use of nats-py's inside: a public publish() per message costs several times the work that
is in the message. Tests compare the bytes and the order with publish()'s.
"""

from collections.abc import Iterable
from typing import Any

import nats.errors
from nats.aio.client import Client

from libs.runtime.framing import published

SLOW_BYTES = 1 << 20
"""Bytes that wait for the socket, above which the client's flusher waits with what follows."""


async def publish_joined(
    nc: Client, messages: Iterable[tuple[str, bytes]], headers: dict[str, str]
) -> None:
    """Publish (subject, body) messages that all carry the same headers, as publish() would.

    Subjects are not checked: they are ours, or came from the server as the reply subject.

    Raises:
        ConnectionClosedError, ConnectionDrainingError: as publish() does; nothing was sent.
    """
    if nc.is_closed:
        raise nats.errors.ConnectionClosedError
    if nc.is_draining_pubs:
        raise nats.errors.ConnectionDrainingError
    lines = published(messages, headers)
    if lines:
        await write_joined(nc, lines)
        client: Any = nc
        if not _written_through(client):
            await client._flush_pending()  # noqa: SLF001


def _written_through(client: Any) -> bool:
    """Write what is pending, as the client's flusher would a turn of the loop later.

    False when that is the flusher's matter: no connection, or one that is too slow to be filled.
    """
    stream = getattr(client._transport, "_io_writer", None)  # noqa: SLF001
    if stream is None or not client.is_connected or client.is_connecting:
        return False
    if stream.transport.get_write_buffer_size() > SLOW_BYTES:
        return False
    try:
        stream.writelines(client._pending)  # noqa: SLF001
    except (OSError, RuntimeError):
        return False  # it is being lost: what is pending is sent once it is back
    client._pending, client._pending_data_size = [], 0  # noqa: SLF001
    return True


async def publish_along(nc: Client, subject: str) -> None:
    """Publish an empty message that leaves with the next flush, not by itself."""
    if not nc.is_closed:
        await write_joined(nc, f"PUB {subject} 0\r\n\r\n".encode())


async def write_joined(nc: Client, lines: bytes) -> None:
    """Hand finished protocol lines to the connection, in order with what it writes itself.

    They leave with the next flush.
    """
    client: Any = nc
    await client._send_command(lines)  # noqa: SLF001
