"""`farebox admin stream`: the copy of the log, seen and made anew by an operator."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import asyncpg
import nats
import nats.errors
import typer
from nats.aio.client import Client

from deploy.local.errors import LocalServerError
from deploy.local.secrets import Secrets
from deploy.nats.config import password_variable
from farebox.audit_access import AuditError, address
from farebox.provision import USER
from libs.runtime.database import Connection, connect
from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.positions import Incarnation
from libs.runtime.settings import Settings
from services.ledger.stream_rebuild import RebuildError, Standing, compare, rebuild

app = typer.Typer(no_args_is_help=True, help="The streams: copies of the log.")

T = TypeVar("T")
Work = Callable[[Client, Connection], Awaitable[T]]

Partition = Annotated[int, typer.Argument(min=0, help="Whose stream.", show_default=False)]
Data = Annotated[
    Path, typer.Option("--data", envvar="FAREBOX_HOME", help="Data folder of `farebox up`.")
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        envvar="FAREBOX_DATABASE_URL", help="Of role farebox_auditor; default: from --data."
    ),
]
NatsUrl = Annotated[
    str, typer.Option(envvar="FAREBOX_NATS_URL", help="NATS server; default: from --data.")
]
Password = Annotated[
    str,
    typer.Option(
        envvar="FAREBOX_NATS_PASSWORD", help="Of NATS user provision; default: from --data."
    ),
]


@app.command("show")
def show(
    partition: Partition,
    data: Data = Path(".farebox"),
    database_url: DatabaseUrl = "",
    nats_url: NatsUrl = "",
    nats_password: Password = "",
) -> None:
    """Compare a partition's stream with its log; status 1 when it is no copy."""

    async def work(nc: Client, connection: Connection) -> Standing:
        return await compare(nc.jetstream(), connection, partition)

    found = _run(work, data, database_url, nats_url, nats_password)
    typer.echo(f"log               ends at {found.log_end}, incarnation {found.incarnation}")
    end = "is missing" if found.stream_end is None else f"ends at {found.stream_end}"
    typer.echo(f"LEDGER_{partition:<10} {end}")
    if found.wanted is not None:
        typer.echo(f"rebuild           was begun for incarnation {found.wanted.number}: repeat it")
    if found.differs_from is not None:
        typer.echo(f"differs           from position {found.differs_from} on")
        raise typer.Exit(1)


@app.command("rebuild")
def rebuild_stream(
    partition: Partition,
    data: Data = Path(".farebox"),
    database_url: DatabaseUrl = "",
    nats_url: NatsUrl = "",
    nats_password: Password = "",
    keep: Annotated[
        Path, typer.Option(help="Folder for the events that only the stream still holds.")
    ] = Path(),
    from_: Annotated[
        int | None,
        typer.Option(
            "--from", min=1, help="First position at which the log may differ; default: found."
        ),
    ] = None,
    incarnation: Annotated[
        int | None, typer.Option(min=2, help="Default: one more than was ever seen.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a leading ledger.")] = 60.0,
) -> None:
    """Accept that the log is right, begin a new incarnation, and make the stream a copy again.

    A ledger process must lead the partition, or come to lead it within the time.
    """

    async def kept(wanted: Incarnation, events: AsyncIterator[bytes]) -> int:
        path = keep / f"stream-{partition}-before-incarnation-{wanted.number}.jsonl"
        count = 0
        with path.open("wb") as file:
            async for event in events:
                file.write(event + b"\n")
                count += 1
        typer.echo(f"kept in           {path}")
        return count

    async def work(nc: Client, connection: Connection) -> Incarnation:
        return await rebuild(
            nc,
            connection,
            partition,
            keep=kept,
            tell=typer.echo,
            first_position=from_,
            number=incarnation,
            wait_s=wait,
        )

    begun = _run(work, data, database_url, nats_url, nats_password)
    typer.echo(
        f"LEDGER_{partition} is made anew from position {begun.first_position} on, "
        f"incarnation {begun.number}"
    )


def _run(work: Work[T], data: Path, database_url: str, nats_url: str, password: str) -> T:
    """Do some work with both connections; what goes wrong ends the command with status 2."""

    async def connected() -> T:
        async with _connected(data, database_url, nats_url, password) as (nc, connection):
            return await work(nc, connection)

    try:
        return asyncio.run(connected())
    except TimeoutError:
        _fail("no ledger process began it in time: start one that leads, then repeat this command")
    except (RebuildError, AuditError, DatabaseUnavailable) as error:
        _fail(str(error))
    except nats.errors.Error as error:
        _fail(f"NATS: {error!r}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        _fail(f"{type(error).__name__}: {error}")


@asynccontextmanager
async def _connected(
    data: Path, database_url: str, nats_url: str, password: str
) -> AsyncIterator[tuple[Client, Connection]]:
    if not nats_url:
        nats_url, password = _nats(data)
    url = address(database_url, data)
    connection = await connect(Settings(database_url=url, process_name="stream"))
    try:
        nc = await nats.connect(
            nats_url, user=USER, password=password, inbox_prefix=f"inbox.{USER}",
            allow_reconnect=False,
        )  # fmt: skip
        try:
            yield nc, connection
        finally:
            await nc.close()
    finally:
        await connection.close()


def _nats(data: Path) -> tuple[str, str]:
    """Address and password of a running installation's NATS. Raises AuditError."""
    try:
        port = json.loads((data / "run" / "ports.json").read_text())["nats"]
        password = Secrets(data / "secrets.env").get(password_variable(USER)) or ""
    except (LocalServerError, OSError, ValueError, KeyError) as error:
        raise AuditError(f"no installation runs in {data}: give --nats-url or --data") from error
    return f"nats://127.0.0.1:{port}", password


def _fail(message: str) -> NoReturn:
    typer.echo(f"farebox admin stream: {message}", err=True)
    raise typer.Exit(2)
