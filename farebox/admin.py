"""`farebox admin`: an operator's client of /admin/v1."""

from typing import Annotated

import typer

from farebox import admin_books, admin_corrections, stream
from farebox.admin_client import PAGE, Account, After, Api, Csv, Json, Key, Limit, Note, Reason
from farebox.admin_client import call as _call
from farebox.admin_client import fail as _fail
from farebox.admin_client import part as _part
from farebox.admin_client import rows as _rows
from farebox.admin_client import show as _show
from farebox.importing import import_balances
from libs.events.ids import account_for_external_id

app = typer.Typer(
    no_args_is_help=True,
    help="What operators do: accounts, keys, credits, refunds, freezes, holds, streams.",
)
accounts = typer.Typer(no_args_is_help=True, help="Open, list, show, move and close accounts.")
keys = typer.Typer(no_args_is_help=True, help="List, issue, rotate and revoke API keys.")
app.add_typer(accounts, name="accounts")
app.add_typer(keys, name="keys")
app.add_typer(stream.app, name="stream")
app.command("import")(import_balances)
app.add_typer(admin_books.app)
app.add_typer(admin_corrections.app)
app.add_typer(admin_corrections.limits, name="limits")
app.add_typer(admin_corrections.reservations, name="reservations")
app.add_typer(admin_corrections.quarantine, name="quarantine")


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="FAREBOX_ADMIN_URL", help="Where the admin API listens.")
    ] = "http://127.0.0.1:8403",
    token: Annotated[
        str,
        typer.Option(envvar="FAREBOX_ADMIN_TOKEN", help="An operator's token.", show_default=False),
    ] = "",
) -> None:
    context.obj = Api(url.rstrip("/"), token)


@accounts.command("open")
def open_account(
    context: typer.Context,
    plan: Annotated[str, typer.Option(help="A plan of farebox.toml.")],
    external_id: Annotated[
        str | None, typer.Option(help="Your own name for it; the same one gives the same account.")
    ] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Open an account of a plan."""
    body = {"plan": plan, "external_id": external_id}
    answer = _call(context, "POST", "/accounts", body, idempotency_key)
    _show(answer, as_json=as_json)


@accounts.command("list")
def list_accounts(
    context: typer.Context,
    external_id: Annotated[
        str | None, typer.Option(help="The account of this name.", show_default=False)
    ] = None,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List accounts and what they have."""
    columns = ("account_id", "external_id", "plan", "status", "unit", "available", "reserved")
    _rows(
        context,
        "/accounts",
        "accounts",
        columns,
        as_json=as_json,
        as_csv=as_csv,
        external_id=external_id,
        after=after,
        limit=limit,
    )


@accounts.command("plan")
def change_plan(
    context: typer.Context,
    account: Account,
    plan: Annotated[str, typer.Argument(help="A plan of farebox.toml.", show_default=False)],
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Sell to an account by another plan of its unit."""
    path = f"/accounts/{_part(account)}/plan"
    _show(_call(context, "POST", path, {"plan": plan}, idempotency_key), as_json=as_json)


@accounts.command("close")
def close_account(
    context: typer.Context,
    account: Account,
    reason: Reason,
    write_off: Annotated[bool, typer.Option(help="Take what is left.")] = False,
    note: Note = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Close an account for good and revoke its keys."""
    body = {"reason_code": reason, "write_off": write_off, "note": note}
    path = f"/accounts/{_part(account)}/close"
    _show(_call(context, "POST", path, body, idempotency_key), as_json=as_json)


@accounts.command("show")
def show_account(
    context: typer.Context,
    account: Annotated[str | None, typer.Argument(help="acct_…", show_default=False)] = None,
    external_id: Annotated[str | None, typer.Option(help="Instead of the account's id.")] = None,
    as_json: Json = False,
) -> None:
    """Show the balance, the standing and the keys of an account."""
    if (account is None) == (external_id is None):
        _fail("give either an account id or --external-id", status=2)
    account = account or account_for_external_id(external_id or "")
    answer = _call(context, "GET", f"/accounts/{_part(account)}")
    if as_json:
        _show(answer, as_json=True)
        return
    issued = answer.pop("keys")
    _show(answer, as_json=False)
    for key in issued:
        typer.echo(
            f"key               {key['key_id']} {key['purpose']} {key['prefix']}… {key['status']}"
        )


@keys.command("issue")
def issue_key(
    context: typer.Context,
    account: Account,
    purpose: Annotated[str, typer.Option(help="inference, account or service")] = "inference",
    name: Annotated[str | None, typer.Option(help="For people; kept apart from the log.")] = None,
    allowed: Annotated[
        list[str] | None, typer.Option(help="A model or operation it may use; repeatable.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="RFC 3339, such as 2027-01-01T00:00:00Z")
    ] = None,
    cap_total: Annotated[str | None, typer.Option(help="The most it spends in all.")] = None,
    cap_day: Annotated[str | None, typer.Option(help="… in a UTC day.")] = None,
    cap_month: Annotated[str | None, typer.Option(help="… in a UTC month.")] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Issue an API key. Its secret is shown here and never again."""
    body = {
        "purpose": purpose,
        "name": name,
        "allowed": allowed or None,
        "expires_at": expires_at,
        "cap_total": cap_total,
        "cap_day": cap_day,
        "cap_month": cap_month,
    }
    answer = _call(context, "POST", f"/accounts/{_part(account)}/keys", body, idempotency_key)
    _show_key(answer, as_json=as_json)


def _show_key(answer: dict[str, object], *, as_json: bool) -> None:
    _show(answer, as_json=as_json)
    if answer["secret"] is None:
        typer.echo("This key was issued before: its secret is not shown again.", err=True)


@keys.command("list")
def list_keys(
    context: typer.Context,
    account: Account,
    after: After = None,
    limit: Limit = PAGE,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the keys of an account: active ones first."""
    columns = ("key_id", "name", "purpose", "prefix", "status", "created_at", "expires_at")
    path = f"/accounts/{_part(account)}/keys"
    _rows(context, path, "keys", columns, as_json=as_json, as_csv=as_csv, after=after, limit=limit)


@keys.command("rotate")
def rotate_key(
    context: typer.Context,
    account: Account,
    key: Annotated[str, typer.Argument(help="key_…", show_default=False)],
    overlap_s: Annotated[int, typer.Option(help="Seconds for which the old one goes on.")] = 86_400,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Issue a key in place of another, which ends after a while."""
    path = f"/accounts/{_part(account)}/keys/{_part(key)}/rotate"
    answer = _call(context, "POST", path, {"overlap_s": overlap_s}, idempotency_key)
    _show_key(answer, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    context: typer.Context,
    account: Account,
    key: Annotated[str, typer.Argument(help="key_…", show_default=False)],
    as_json: Json = False,
) -> None:
    """End an API key at once."""
    _show(
        _call(context, "DELETE", f"/accounts/{_part(account)}/keys/{_part(key)}"), as_json=as_json
    )


@app.command()
def grant(
    context: typer.Context,
    account: Account,
    amount: Annotated[str, typer.Argument(help="In the account's unit, such as 5.00")],
    reason: Annotated[str, typer.Option(help="A reason code, such as goodwill; stays in the log.")],
    note: Annotated[str | None, typer.Option(help="For people; kept apart from the log.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339; default: never.")] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Grant credits to an account."""
    body = {"amount": amount, "reason_code": reason, "note": note, "expires_at": expires_at}
    answer = _call(context, "POST", f"/accounts/{_part(account)}/grants", body, idempotency_key)
    _show(answer, as_json=as_json)


@app.command()
def freeze(
    context: typer.Context,
    account: Account,
    reason: Annotated[str, typer.Option(help="manual, dispute:<id> or warning:<id>")] = "manual",
    revoke_keys: Annotated[bool, typer.Option(help="Also revoke every key.")] = False,
    note: Annotated[str | None, typer.Option(help="For people; kept apart from the log.")] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Stop all spending of an account."""
    body = {"reason": reason, "revoke_keys": revoke_keys, "note": note}
    answer = _call(context, "POST", f"/accounts/{_part(account)}/freeze", body, idempotency_key)
    _show(answer, as_json=as_json)


@app.command()
def unfreeze(
    context: typer.Context,
    account: Account,
    reason: Annotated[str, typer.Option(help="The reason to lift.")] = "manual",
    note: Annotated[str | None, typer.Option(help="For people; kept apart from the log.")] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Lift one reason of a freeze."""
    body = {"reason": reason, "note": note}
    answer = _call(context, "POST", f"/accounts/{_part(account)}/unfreeze", body, idempotency_key)
    _show(answer, as_json=as_json)


@app.command()
def whoami(context: typer.Context, as_json: Json = False) -> None:
    """Show the name and the role that the token stands for."""
    _show(_call(context, "GET", "/operator"), as_json=as_json)
