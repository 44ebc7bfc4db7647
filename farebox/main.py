"""The command `farebox`. What a subcommand needs is imported when it runs."""
# ruff: noqa: PLC0415

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from farebox.services import SERVICES
from farebox.start.commands import doctor, imports, init

GROUPS = {
    "admin": "farebox.admin",
    "audit": "farebox.audit",
    "bench": "farebox.bench.command",
    "catalogue": "farebox.catalogue.command",
    "prices": "farebox.prices.command",
}


class _Groups(TyperGroup):
    """Commands of this module, and whole groups that are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in GROUPS:
            group = typer.main.get_group(import_module(GROUPS[cmd_name]).app)
            group.name = cmd_name
            return group
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=_Groups,
    name="farebox",
    help="Metered API access on prepaid credits.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would print passwords.
    pretty_exceptions_enable=False,
)

app.command()(init)
app.command()(doctor)
app.add_typer(imports, name="import")

BAD_CONFIGURATION = 2

Data = Annotated[
    Path, typer.Option("--data", envvar="FAREBOX_HOME", help="Data folder, kept between starts.")
]
Config = Annotated[
    Path, typer.Option("--config", envvar="FAREBOX_CONFIG", help="The farebox.toml to read.")
]


@app.command()
def up(
    data: Data = Path(".farebox"),
    config: Config = Path("farebox.toml"),
    *,
    auditor: Annotated[
        bool, typer.Option("--auditor", help="Also run the self-audit (docs/operating/audit.md).")
    ] = False,
) -> None:
    """Run everything on this machine: Postgres, NATS and all of Farebox's processes."""
    from deploy.local.errors import LocalServerError
    from farebox.dotenv import load_env
    from farebox.installation import Installation
    from farebox.supervisor import StartError
    from libs.catalogue import CatalogueError

    load_env(config)
    _end_by_exception(signal.SIGTERM)
    try:
        installation = Installation(data, config, auditor=auditor, report=_tell)
        with installation:
            _announce(installation.url, data)
            _wait_for_the_end()
    except CatalogueError as error:
        _refuse(*error.errors)
    except (LocalServerError, StartError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _tell("stopped")


@app.command()
def demo(
    data: Annotated[
        Path, typer.Option("--data", help="Data folder of the demo; wiped first.")
    ] = Path(".farebox/demo"),
    *,
    leave: Annotated[
        bool,
        typer.Option("--exit", envvar="FAREBOX_DEMO_EXIT", help="End after the last step."),
    ] = False,
    fault: Annotated[
        str,
        typer.Option(
            envvar="FAREBOX_DEMO_FAULT",
            help="Break one thing on purpose: wrong_charge, no_top_up or tampered_event.",
        ),
    ] = "",
) -> None:
    """Play two customers' stories on a whole installation and check every amount."""
    from deploy.local.errors import LocalServerError
    from farebox.demo.run import demo as play
    from farebox.supervisor import StartError

    try:
        raise typer.Exit(play(data, leave=leave, fault=fault))
    except (LocalServerError, StartError) as error:
        _fail(str(error))


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help=", ".join(SERVICES), show_default=False)],
    config: Annotated[
        Path | None, typer.Option("--config", help="The farebox.toml to read.", show_default=False)
    ] = None,
) -> None:
    """Run one process; it reads FAREBOX_* variables (docs/reference/settings.md)."""
    from pydantic import ValidationError

    from libs.runtime.compiled import use_compiled

    service = SERVICES.get(name)
    if service is None:
        _refuse(f"no process {name!r}: choose one of {', '.join(SERVICES)}")
    use_compiled()
    os.environ.setdefault("FAREBOX_PROCESS_NAME", name)
    if config is not None:
        os.environ["FAREBOX_CONFIG"] = str(config)
    with _imports_stay():
        from libs.runtime.supervision import run

        try:
            settings = service.settings()
        except ValidationError as error:
            _refuse(*(_variable(fault["loc"], fault["msg"]) for fault in error.errors()))
        if service.reads_config:
            _partitions(settings.config)
        entry = service.serve()
    run(entry, settings)


@app.command()
def migrate() -> None:
    """Bring the tables up to date, as role farebox_owner (FAREBOX_DATABASE_URL)."""
    from farebox.migrate import PartitionsFixedError
    from farebox.migrate import migrate as bring_up_to_date
    from libs.runtime.settings import Settings

    settings = Settings()
    try:
        bring_up_to_date(settings.database_url, _partitions(settings.config))
    except PartitionsFixedError as error:
        _refuse(str(error))


@app.command()
def provision() -> None:
    """Make NATS streams and durable consumers, as user provision (FAREBOX_NATS_URL, _PASSWORD)."""
    from farebox.provision import provision as make_streams
    from libs.runtime.settings import Settings

    settings = Settings()
    asyncio.run(make_streams(settings, _partitions(settings.config)))


@contextmanager
def _imports_stay() -> Iterator[None]:
    """Nothing that is imported is garbage: looking for it takes a tenth of a process's start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _partitions(config: Path) -> int:
    """Read a farebox.toml's number of partitions; an invalid file ends this with status 2."""
    from libs.catalogue import CatalogueError, load

    try:
        return load(config).ledger.partitions
    except CatalogueError as error:
        _refuse(*error.errors)


def _announce(url_of: Callable[[str], str], data: Path) -> None:
    _tell("farebox is up; Ctrl-C stops it")
    _tell(f"  gateway   {url_of('gateway')}      OPENAI_BASE_URL={url_of('gateway')}/v1")
    _tell(
        f"  admin     {url_of('admin')}      token: FAREBOX_ADMIN_TOKEN in {data / 'secrets.env'}"
    )
    _tell(f"  payments  {url_of('payments')}      Stripe webhooks: /webhooks/stripe")
    _tell(f"  logs      {data / 'logs'}")


def _wait_for_the_end() -> None:
    try:
        signal.pause()
    finally:
        # Stopping takes a moment; a second Ctrl-C must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _tell("stopping")


def _end_by_exception(number: signal.Signals) -> None:
    signal.signal(number, signal.default_int_handler)


def _variable(place: tuple[int | str, ...], message: str) -> str:
    return f"FAREBOX_{str(place[0]).upper()}: {message}" if place else message


def _tell(line: str) -> None:
    print(line, flush=True)


def _refuse(*errors: str) -> NoReturn:
    """End with status 2, naming every fault of the configuration."""
    for error in errors:
        print(f"farebox: {error}", file=sys.stderr)
    raise typer.Exit(BAD_CONFIGURATION)


def _fail(error: str) -> NoReturn:
    print(f"farebox: {error}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
