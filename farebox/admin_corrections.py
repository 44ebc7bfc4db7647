"""`farebox admin`: what is put right: refunds, adjustments, limits, stuck holds, quarantine."""

from typing import Annotated, Any

import typer

from farebox.admin_client import (
    PAGE,
    Account,
    After,
    Csv,
    Json,
    Key,
    Limit,
    Note,
    Reason,
    call,
    fail,
    part,
    rows,
    show,
)

app = typer.Typer(no_args_is_help=True)
limits = typer.Typer(no_args_is_help=True, help="What an account may spend in a day and month.")
reservations = typer.Typer(no_args_is_help=True, help="Open reservations.")
quarantine = typer.Typer(no_args_is_help=True, help="Messages that no service could read.")


@app.command()
def refund(
    context: typer.Context,
    account: Account,
    request: Annotated[str, typer.Argument(help="req_…", show_default=False)],
    reason: Reason,
    amount: Annotated[
        str | None,
        typer.Option(help="A part of the charge. Default: all that is left, and its fee."),
    ] = None,
    note: Note = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Give back the charge of a request, or a part of it."""
    body = {"request_id": request, "amount": amount, "reason_code": reason, "note": note}
    path = f"/accounts/{part(account)}/refunds"
    show(call(context, "POST", path, body, idempotency_key), as_json=as_json)


@app.command()
def adjust(
    context: typer.Context,
    account: Account,
    reason: Reason,
    up: Annotated[str | None, typer.Option(help="Credits to give.", show_default=False)] = None,
    down: Annotated[str | None, typer.Option(help="Credits to take.", show_default=False)] = None,
    grant_no: Annotated[
        int | None, typer.Option(help="Take them off this grant.", show_default=False)
    ] = None,
    note: Note = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Correct a balance upwards or downwards."""
    if (up is None) == (down is None):
        fail("give either --up or --down", status=2)
    body: dict[str, Any] = {"amount": up or f"-{down}", "reason_code": reason}
    body |= {"grant_no": grant_no, "note": note}
    path = f"/accounts/{part(account)}/adjustments"
    show(call(context, "POST", path, body, idempotency_key), as_json=as_json)


@limits.command("show")
def show_limits(context: typer.Context, account: Account, as_json: Json = False) -> None:
    """Show the limits, and what counts against them."""
    show(call(context, "GET", f"/accounts/{part(account)}/limits"), as_json=as_json)


@limits.command("set")
def set_limits(
    context: typer.Context,
    account: Account,
    day: Annotated[str | None, typer.Option(help="Default: no limit.")] = None,
    month: Annotated[str | None, typer.Option(help="Default: no limit.")] = None,
    alert: Annotated[
        list[int] | None, typer.Option(help="Percent at which to tell; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set all limits of an account at once."""
    body = {"day": day, "month": month, "alerts": alert or []}
    show(call(context, "PUT", f"/accounts/{part(account)}/limits", body), as_json=as_json)


@reservations.command("list")
def list_reservations(
    context: typer.Context,
    account: Annotated[
        str | None, typer.Argument(help="acct_…; default: of all", show_default=False)
    ] = None,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List what is held for requests that run, or that nobody settled."""
    columns = (
        "reservation_id", "account_id", "operation", "amount_nanos", "opened_at", "expires_at",
    )  # fmt: skip
    path = f"/accounts/{part(account)}/reservations" if account else "/reservations"
    rows(
        context,
        path,
        "reservations",
        columns,
        as_json=as_json,
        as_csv=as_csv,
        after=after,
        limit=limit,
    )


@reservations.command("release")
def release(
    context: typer.Context,
    account: Account,
    reservation: Annotated[str, typer.Argument(help="req_…", show_default=False)],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Give a hold back now. What still runs under it will not be paid for."""
    path = f"/accounts/{part(account)}/reservations/{part(reservation)}/release"
    show(call(context, "POST", path, {"reason_code": reason}), as_json=as_json)


@quarantine.command("list")
def list_quarantine(
    context: typer.Context,
    after: After = None,
    limit: Annotated[int, typer.Option(help="Rows of a page, at most 100.")] = 20,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List what no service could read, the oldest first."""
    columns = ("sequence", "at", "service", "partition", "position", "size", "error")
    rows(
        context,
        "/quarantine",
        "messages",
        columns,
        as_json=as_json,
        as_csv=as_csv,
        after=after,
        limit=limit,
    )


@quarantine.command("read")
def read_quarantine(
    context: typer.Context,
    sequence: Annotated[int, typer.Argument(show_default=False)],
    as_json: Json = False,
) -> None:
    """Show one message with its bytes."""
    show(call(context, "GET", f"/quarantine/{sequence}"), as_json=as_json)
