"""How `farebox audit` reaches the database, and how it fails."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import asyncpg

from deploy.local.errors import LocalServerError
from deploy.local.secrets import Secrets
from libs.runtime.database import Connection, connect
from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.settings import Settings
from services.ledger.checks.reading import NotInstalledError
from services.ledger.queries import QueryError

AUDITOR = "auditor"
READER = "reader"

T = TypeVar("T")


class AuditError(Exception):
    """The audit could not be done: nothing is known about the books."""


def run(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do some work on a connection of its own. Raises AuditError."""

    async def connected() -> T:
        connection = await connect(Settings(database_url=url, process_name="audit"))
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(connected())
    except (DatabaseUnavailable, NotInstalledError, QueryError) as error:
        raise AuditError(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise AuditError(f"PostgreSQL ended the audit: {error}") from error


def address(database_url: str, data: Path, role: str = AUDITOR) -> str:
    """The given address, else that of a running installation's Postgres. Raises AuditError."""
    if database_url:
        return database_url
    ports, secrets = data / "run" / "ports.json", data / "secrets.env"
    if not ports.exists() or not secrets.exists():
        raise AuditError(f"no installation runs in {data}: give --database-url or --data")
    try:
        password = Secrets(secrets).get(f"FAREBOX_POSTGRES_{role.upper()}_PASSWORD") or ""
        port = json.loads(ports.read_text())["postgres"]
    except (LocalServerError, OSError, ValueError, KeyError) as error:
        raise AuditError(f"{data} cannot be read: {error}") from error
    return f"postgresql://farebox_{role}:{quote(password, safe='')}@127.0.0.1:{port}/farebox"
