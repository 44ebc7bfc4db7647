from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client

from deploy.local.stack import LocalStack


class Refusals(list[str]):
    """Texts of the errors that the server reported on a connection, lower-cased by the server."""

    async def note(self, error: Exception) -> None:
        self.append(str(error))


@asynccontextmanager
async def connected(
    stack: LocalStack, user: str, refusals: Refusals | None = None
) -> AsyncIterator[Client]:
    """A plain nats-py connection as one of the table's users, with that user's inbox."""
    client = await nats.connect(
        stack.nats.url,
        user=user,
        password=stack.nats_password(user),
        inbox_prefix=f"inbox.{user}",
        error_cb=(Refusals() if refusals is None else refusals).note,
        allow_reconnect=False,
    )
    try:
        yield client
    finally:
        await client.close()


async def delete_streams(stack: LocalStack) -> None:
    """Delete every stream, with its consumers and messages."""
    async with connected(stack, "provision") as client:
        jetstream = client.jetstream()
        for name in [info.config.name for info in await jetstream.streams_info()]:
            await jetstream.delete_stream(str(name))
