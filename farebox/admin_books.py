"""`farebox admin`: what is told of accounts: statements, requests, grants, use and fees."""

from typing import Annotated

import typer

from farebox.admin_client import (
    PAGE,
    Account,
    After,
    Csv,
    Json,
    Limit,
    call,
    part,
    rows,
    show,
)

app = typer.Typer(no_args_is_help=True)

Option = Annotated[str | None, typer.Option(show_default=False)]
Many = Annotated[list[str] | None, typer.Option(show_default=False)]


@app.command()
def entries(
    context: typer.Context,
    account: Account,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """The statement of an account, the oldest line first."""
    columns = (
        "occurred_at",
        "type",
        "amount",
        "available",
        "reserved",
        "request_id",
        "reason_code",
    )
    path = f"/accounts/{part(account)}/entries"
    rows(
        context, path, "entries", columns, as_json=as_json, as_csv=as_csv, after=after, limit=limit
    )


@app.command()
def grants(
    context: typer.Context,
    account: Account,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """The grants of an account, and what became of each."""
    columns = (
        "grant_no", "source", "paid", "granted", "available", "reserved", "charged", "refunded",
        "expired", "clawed_back", "expires_at",
    )  # fmt: skip
    path = f"/accounts/{part(account)}/grants"
    rows(context, path, "grants", columns, as_json=as_json, as_csv=as_csv, after=after, limit=limit)


@app.command()
def fees(
    context: typer.Context,
    account: Account,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """The fees of an account, with the sum so far of each currency and schedule."""
    columns = ("occurred_at", "amount", "total", "currency", "schedule", "operation", "request_id")
    path = f"/accounts/{part(account)}/fees"
    rows(context, path, "fees", columns, as_json=as_json, as_csv=as_csv, after=after, limit=limit)


@app.command()
def requests(
    context: typer.Context,
    account: Account,
    from_: Annotated[
        str | None, typer.Option("--from", help="RFC 3339", show_default=False)
    ] = None,
    to: Option = None,
    model: Option = None,
    operation: Option = None,
    key: Annotated[str | None, typer.Option(help="key_…", show_default=False)] = None,
    state: Annotated[
        str | None, typer.Option(help="open, settled, released or expired", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="name:value; repeatable", show_default=False)
    ] = None,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """The requests of an account, the latest first."""
    columns = (
        "request_id", "opened_at", "operation", "state", "http_status", "reserved", "charge",
        "refunded", "route",
    )  # fmt: skip
    rows(
        context,
        f"/accounts/{part(account)}/requests",
        "requests",
        columns,
        as_json=as_json,
        as_csv=as_csv,
        from_=from_,
        to=to,
        model=model,
        operation=operation,
        key_id=key,
        state=state,
        tag=tag,
        after=after,
        limit=limit,
    )


@app.command()
def receipt(
    context: typer.Context,
    account: Account,
    request: Annotated[str, typer.Argument(help="req_…", show_default=False)],
    as_json: Json = False,
) -> None:
    """The receipt of one request."""
    path = f"/accounts/{part(account)}/requests/{part(request)}"
    show(call(context, "GET", path), as_json=as_json)


@app.command()
def usage(
    context: typer.Context,
    account: Account,
    from_: Annotated[
        str | None, typer.Option("--from", help="A UTC day; default: 29 days before --to.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="A UTC day; default: today.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="day, model, key or operation; repeatable. Default: day."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="name:value, only of requests that carry it; repeatable: all of them."),
    ] = None,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """What an account used, from one UTC day to another."""
    columns = (
        "day", "model", "key_id", "operation", "requests", "released", "charged", "refunded",
        "upstream_cost",
    )  # fmt: skip
    rows(
        context,
        f"/accounts/{part(account)}/usage",
        "rows",
        columns,
        as_json=as_json,
        as_csv=as_csv,
        from_=from_,
        to=to,
        group=group,
        tag=tag,
        after=after,
        limit=limit,
    )
