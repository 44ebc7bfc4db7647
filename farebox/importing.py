"""The word `farebox admin import`."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farebox.admin_client import fail

if TYPE_CHECKING:
    import httpx

    from farebox.balances import Done, Row


def import_balances(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="CSV: external_id,plan,amount[,reference,note,expires_at]."),
    ],
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without this it is only said.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON line for each row.")
    ] = False,
) -> None:
    """Open accounts with the balances they had elsewhere; every row is done once.

    Without --apply nothing is changed: each row is looked at and told. Repeating a file, also after
    an interruption, imports nothing twice. Exit status 1: a row was refused, the others were done.
    """
    from farebox.balances import BalancesRefused, admin_client, read_rows

    api = context.obj
    if not api.token:
        fail("set FAREBOX_ADMIN_TOKEN or give --token", status=2)
    try:
        rows = read_rows(file)
    except BalancesRefused as error:
        for fault in error.faults:
            typer.echo(f"farebox admin: {fault}", err=True)
        raise typer.Exit(2) from None
    with admin_client(api.url, api.token) as client:
        refused = _work(client, rows, apply=apply, as_json=as_json)
    raise typer.Exit(1 if refused else 0)


def _work(client: "httpx.Client", rows: "list[Row]", *, apply: bool, as_json: bool) -> int:
    """Do or plan each row and tell it; return how many were refused."""
    import httpx

    from farebox.balances import Import

    importing = Import(client)
    step = importing.carry_out if apply else importing.plan
    refused = 0
    for row in rows:
        try:
            done = step(row)
        except httpx.HTTPError as error:
            typer.echo(f"farebox admin: line {row.line}: {client.base_url}: {error}", err=True)
            typer.echo("repeat the command: what is done is not done again", err=True)
            raise typer.Exit(1) from None
        refused += done.outcome == "refused"
        typer.echo(_line(done, as_json=as_json))
    if not as_json:
        what = "imported" if apply else "would be imported; --apply does it"
        typer.echo(f"{len(rows) - refused} of {len(rows)} rows {what}")
    return refused


def _line(done: "Done", *, as_json: bool) -> str:
    if as_json:
        facts = asdict(done.row) | {"account_id": done.row.account_id}
        return json.dumps(facts | {"outcome": done.outcome, "detail": done.detail})
    row = done.row
    return f"{done.outcome:<9} line {row.line:<5} {row.external_id} {row.account_id}: {done.detail}"
