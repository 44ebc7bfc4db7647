"""The streams of an installation, made by the one NATS user that may."""

import nats

from libs.runtime import streams
from libs.runtime.settings import Settings

USER = "provision"


async def provision(settings: Settings, partitions: int) -> None:
    """Make or bring up to date all streams and durable consumers. Raises nats.errors.Error."""
    client = await nats.connect(
        settings.nats_url,
        user=USER,
        password=settings.nats_password.get_secret_value(),
        inbox_prefix=f"inbox.{USER}",
        allow_reconnect=False,
    )
    try:
        await streams.provision(client, partitions)
    finally:
        await client.close()
