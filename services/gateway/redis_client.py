"""The client of Redis as the gateway uses it: it waits for no Redis that is slow or away.

It takes longer to import than all the rest of a worker: only who has a Redis imports it.
"""

from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a Redis that is away, slow or out of its mind raises."""


def open_redis(url: str, *, timeout_s: float, retries: int) -> Redis:
    """A client that connects when it is first used, and waits `timeout_s` seconds for each step.

    `retries`: how often a command that failed is sent again, at once, on a new connection.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), retries),
    )
