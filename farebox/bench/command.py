"""`farebox bench`: bounded load on a running installation."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure a running installation.")


@app.callback()
def group() -> None:
    """Keeps `ledger` a word of its own while it is the only command."""


@app.command()
def ledger(
    data: Annotated[
        Path, typer.Option("--data", envvar="FAREBOX_HOME", help="Data folder of `farebox up`.")
    ] = Path(".farebox"),
    nats_url: Annotated[
        str,
        typer.Option(
            envvar="FAREBOX_NATS_URL",
            help="nats://host:port of another server than that of --data; passwords then come "
            "from FAREBOX_NATS_GATEWAY_PASSWORD and FAREBOX_NATS_ADMIN_PASSWORD.",
            show_default=False,
        ),
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to load it.")] = 10,
    callers: Annotated[int, typer.Option(min=1, max=1024, help="Commands in flight.")] = 64,
    accounts: Annotated[int, typer.Option(min=1, max=10_000, help="Accounts to open.")] = 100,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Hold one nano, then charge it or give it back, again and again, and time every command.

    It opens accounts of its own and closes them; no other account is touched. What stays: their
    events in the log (two for each reservation) and the nanos they were charged. It takes the
    ledger's time from real requests while it runs.
    """
    import asyncio

    from farebox.bench.access import BenchError, access
    from farebox.bench.ledger import Plan, bench
    from farebox.bench.report import report_json, report_text

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        where = access(nats_url, data)
        report = asyncio.run(bench(where, Plan(seconds, callers, accounts), tell))
    except BenchError as error:
        print(f"farebox: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(report_json(report) if as_json else report_text(report))
