"""Connections to PostgreSQL: dedicated ones for writers and locks, pools for the rest."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeAlias

import asyncpg

from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.settings import Settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CONNECT_S = 10.0

# The server notices a client that is gone within about 10 s, so a dead process's locks are freed.
_SESSION = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "timezone": "UTC",
}


async def connect(
    settings: Settings,
    *,
    application_name: str = "",
    server_settings: Mapping[str, str] | None = None,
    **options: Any,
) -> Connection:
    """Open one connection of the process's own role; the caller closes it.

    Args:
        settings: whose ``database_url`` says where and as whom.
        application_name: how it shows in pg_stat_activity; by default the process's name.
        server_settings: further session settings, which win over ours.
        options: passed on to asyncpg.

    Raises:
        DatabaseUnavailable: not configured, not there within 10 s, or it refuses the role.
    """
    arguments = _arguments(settings, application_name, server_settings) | options
    with _as_unavailable():
        connection: Connection = await asyncpg.connect(**arguments)
    return connection


@contextlib.asynccontextmanager
async def pool(settings: Settings, size: int, **options: Any) -> AsyncIterator[Pool]:
    """Open a pool of at most ``size`` connections, closed on the way out.

    Raises:
        DatabaseUnavailable: as for ``connect``.
    """
    arguments = _arguments(settings, "", options.pop("server_settings", None)) | options
    with _as_unavailable():
        made: Pool = await asyncpg.create_pool(min_size=1, max_size=size, **arguments)
    try:
        yield made
    finally:
        await made.close()


def sqlalchemy_url(dsn: str) -> str:
    """Return the address as SQLAlchemy's asyncpg dialect wants it."""
    scheme, separator, rest = dsn.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("a database address starts with postgresql://")
    return f"postgresql+asyncpg://{rest}"


def _arguments(
    settings: Settings, application_name: str, server_settings: Mapping[str, str] | None
) -> dict[str, Any]:
    if not settings.database_url:
        raise DatabaseUnavailable("FAREBOX_DATABASE_URL is not set")
    name = application_name or settings.process_name or "farebox"
    return {
        "dsn": settings.database_url,
        "timeout": CONNECT_S,
        "server_settings": {**_SESSION, "application_name": name, **(server_settings or {})},
    }


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # The driver's message names host or role, never the password.
        detail = str(error) or type(error).__name__
        raise DatabaseUnavailable(f"cannot connect to PostgreSQL: {detail}") from error
