"""Connections to PostgreSQL as this process's own role."""

from typing import Any

import asyncpg

from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.settings import Settings

CONNECT_S = 10.0

KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
"""Server settings: a dead client's locks are free within seconds."""


async def connect(
    settings: Settings, *, application_name: str = "", **options: Any
) -> "asyncpg.Connection[Any]":
    """Return a connection of its own, not from a pool; the caller closes it.

    Raises DatabaseUnavailable when the database is not configured, not there, or refuses the role.
    """
    if not settings.database_url:
        raise DatabaseUnavailable("FAREBOX_DATABASE_URL is not set")
    name = application_name or settings.process_name or "farebox"
    try:
        made: asyncpg.Connection[Any] = await asyncpg.connect(
            settings.database_url,
            timeout=CONNECT_S,
            server_settings={"application_name": name, **KEEPALIVE},
            **options,
        )
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise DatabaseUnavailable(f"cannot connect to PostgreSQL: {error}") from error
    return made


async def pool(settings: Settings, size: int, **options: Any) -> "asyncpg.Pool[Any]":
    """Return an open pool of at most `size` connections; the caller closes it.

    Raises DatabaseUnavailable as `connect` does.
    """
    if not settings.database_url:
        raise DatabaseUnavailable("FAREBOX_DATABASE_URL is not set")
    try:
        made: asyncpg.Pool[Any] = await asyncpg.create_pool(
            settings.database_url,
            min_size=1,
            max_size=size,
            timeout=CONNECT_S,
            server_settings={
                "application_name": settings.process_name or "farebox",
                **KEEPALIVE,
            },
            **options,
        )
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise DatabaseUnavailable(f"cannot connect to PostgreSQL: {error}") from error
    return made


def sqlalchemy_url(dsn: str) -> str:
    """The same address for SQLAlchemy's asyncpg dialect."""
    scheme, _, rest = dsn.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise ValueError(f"not a PostgreSQL address: {scheme}://…")
    return f"postgresql+asyncpg://{rest}"
