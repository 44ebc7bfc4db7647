"""`farebox audit`: proves the books against the log. Reads Postgres only, as farebox_auditor."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

STATUS = "Status 0: all is well. 1: something differs. 2: it could not be done, nothing is known."

app = typer.Typer(
    no_args_is_help=True,
    help="Prove the ledger against its log. Needs Postgres and nothing else.",
    epilog=STATUS,
)

DIFFERENT = 1
NOT_DONE = 2
HOME = Path(".farebox")
PLACE = "TIME|POSITION"

DatabaseUrl = Annotated[
    str,
    typer.Option(
        envvar="FAREBOX_DATABASE_URL",
        help="postgresql://farebox_auditor:…; default: that of --data.",
        show_default=False,
    ),
]
Data = Annotated[
    Path, typer.Option("--data", envvar="FAREBOX_HOME", help="Data folder of `farebox up`.")
]
Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


@app.command(epilog=STATUS)
def verify(
    database_url: DatabaseUrl = "",
    data: Data = HOME,
    *,
    projections: Annotated[
        bool,
        typer.Option(help="Also check statement, receipts, fees, commands: most of the time."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Check every event, and every table against the log. Status 1 when anything differs."""
    from farebox import auditing
    from farebox.audit_access import AuditError

    try:
        report = auditing.verified(database_url, data, projections=projections)
    except AuditError as error:
        _fail(str(error))
    print(auditing.report_json(report) if as_json else auditing.report_text(report))
    raise typer.Exit(0 if report.ok else DIFFERENT)


@app.command(epilog=STATUS)
def replay(
    projections: Annotated[
        list[str] | None,
        typer.Argument(help="entries, requests, accounts, …; default: all.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = "",
    data: Data = HOME,
    *,
    as_json: Json = False,
) -> None:
    """Make tables anew from the log, beside the live ones. Status 1 when any row differs."""
    from farebox import auditing
    from farebox.audit_access import AuditError

    try:
        report = auditing.replayed(projections or [], database_url, data)
    except AuditError as error:
        _fail(str(error))
    print(auditing.replayed_json(report) if as_json else auditing.replayed_text(report))
    raise typer.Exit(0 if report.ok else DIFFERENT)


@app.command(epilog=STATUS)
def statement(
    account: Annotated[str, typer.Argument(help="acct_…", show_default=False)],
    database_url: DatabaseUrl = "",
    data: Data = HOME,
    *,
    as_json: Json = False,
) -> None:
    """Print every line of an account, and whether they add up. Status 1 when they do not."""
    from farebox import auditing
    from farebox.audit_access import AuditError

    try:
        told = auditing.statement_of(account, database_url, data)
    except AuditError as error:
        _fail(str(error))
    print(auditing.statement_json(told) if as_json else auditing.statement_text(told))
    raise typer.Exit(0 if told["adds_up"] else DIFFERENT)


@app.command(epilog=STATUS)
def balance(
    account: Annotated[str, typer.Argument(help="acct_…", show_default=False)],
    at: Annotated[
        str,
        typer.Option(
            metavar=PLACE,
            help="2026-11-20T19:10:38Z, or a position of its partition; default: now.",
            show_default=False,
        ),
    ] = "",
    database_url: DatabaseUrl = "",
    data: Data = HOME,
    *,
    as_json: Json = False,
) -> None:
    """Tell where an account stood at any time. Status 1 when its events are damaged."""
    from farebox import history
    from farebox.audit_access import AuditError

    try:
        told = history.balance_of(account, at, database_url, data)
    except AuditError as error:
        _fail(str(error))
    print(history.balance_json(told) if as_json else history.balance_text(told))
    raise typer.Exit(DIFFERENT if told["differences"] else 0)


@app.command(epilog=STATUS)
def events(
    partition: Annotated[
        int | None, typer.Option(min=0, help="Of one partition.", show_default=False)
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Of acct_…, or of part_<n>'s own.", show_default=False)
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--type", help="CreditsCharged, …; may be repeated.", show_default=False),
    ] = None,
    first: Annotated[
        str,
        typer.Option("--from", metavar=PLACE, help="From this one of each partition on."),
    ] = "",
    until: Annotated[
        str, typer.Option(metavar=PLACE, help="Up to this one: 2026-11-20T19:10:38Z, or 4711.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=0, help="At most so many.", show_default=False)
    ] = None,
    database_url: DatabaseUrl = "",
    data: Data = HOME,
) -> None:
    """Print events as JSON lines, just as they are stored. Status 1 when one cannot be read."""
    from farebox import history
    from farebox.audit_access import AuditError

    try:
        wanted = history.wanted_events(partition, account, kinds or [], first, until, limit)
        damaged = history.print_events(wanted, database_url, data)
    except AuditError as error:
        _fail(str(error))
    raise typer.Exit(DIFFERENT if damaged else 0)


@app.command(epilog=STATUS)
def rebuild(
    projection: Annotated[str, typer.Argument(help="entries or requests", show_default=False)],
    database_url: Annotated[
        str,
        typer.Option(
            envvar="FAREBOX_DATABASE_URL",
            help="postgresql://farebox_reader:…, who may write it; default: that of --data.",
            show_default=False,
        ),
    ] = "",
    data: Data = HOME,
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the reader has made it anew.")] = True,
    as_json: Json = False,
) -> None:
    """Throw a projection away and have the running reader make it anew. Nothing stops for it."""
    from farebox import auditing, rebuilding
    from farebox.audit_access import AuditError

    try:
        seen = rebuilding.rebuild(projection, database_url, data, auditing.teller(), wait=wait)
    except AuditError as error:
        _fail(str(error))
    if as_json:
        print(json.dumps({"projection": projection, "waited": wait, "events": seen}))
    elif wait:
        print(f"{projection} has been made anew from {seen:,} events")


def _fail(error: str) -> NoReturn:
    print(f"farebox: {error}", file=sys.stderr)
    raise typer.Exit(NOT_DONE)
