"""`farebox admin`: an operator's client of /admin/v1."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

import httpx
import typer

from farebox import stream
from farebox.importing import import_balances
from libs.events.ids import account_for_external_id

app = typer.Typer(
    no_args_is_help=True, help="Accounts, keys, grants, freezes and streams of an installation."
)
accounts = typer.Typer(no_args_is_help=True, help="Open and show accounts.")
keys = typer.Typer(no_args_is_help=True, help="Issue and revoke API keys.")
app.add_typer(accounts, name="accounts")
app.add_typer(keys, name="keys")
app.add_typer(stream.app, name="stream")
app.command("import")(import_balances)

TIMEOUT_S = 15.0

Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="Repeating a command with the same key does it once. Default: a new one.",
    ),
]
Account = Annotated[str, typer.Argument(help="acct_…", show_default=False)]


@dataclass(frozen=True)
class Api:
    url: str
    token: str


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="FAREBOX_ADMIN_URL", help="Where the admin API listens.")
    ] = "http://127.0.0.1:8403",
    token: Annotated[
        str, typer.Option(envvar="FAREBOX_ADMIN_TOKEN", help="The admin token.", show_default=False)
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
    purpose: Annotated[str, typer.Option(help="inference or account")] = "inference",
    name: Annotated[str | None, typer.Option(help="For people; kept apart from the log.")] = None,
    allowed: Annotated[
        list[str] | None, typer.Option(help="A model or operation it may use; repeatable.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="RFC 3339, such as 2027-01-01T00:00:00Z")
    ] = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Issue an API key. Its secret is shown here and never again."""
    body = {
        "purpose": purpose,
        "name": name,
        "allowed": allowed or None,
        "expires_at": expires_at,
    }
    answer = _call(context, "POST", f"/accounts/{_part(account)}/keys", body, idempotency_key)
    _show(answer, as_json=as_json)
    if answer["secret"] is None:
        typer.echo("This key was issued before: its secret is not shown again.", err=True)


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


def _call(
    context: typer.Context,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Ask the admin API; what it refuses ends the command with status 1."""
    api: Api = context.obj
    if not api.token:
        _fail("set FAREBOX_ADMIN_TOKEN or give --token", status=2)
    headers = {"authorization": f"Bearer {api.token}"}
    if method == "POST":
        headers["idempotency-key"] = idempotency_key or str(uuid4())
    try:
        response = httpx.request(
            method, f"{api.url}/admin/v1{path}", json=body, headers=headers, timeout=TIMEOUT_S
        )
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
        _fail(f"the admin API at {api.url} cannot be asked: {error}{_again(headers)}")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        _fail(f"{api.url} answered {response.status_code} without JSON: is it the admin API?")
    if response.is_error:
        again = _again(headers) if response.status_code == 503 else ""
        _fail(f"{answer.get('detail')} ({answer.get('code')}, {response.status_code}){again}")
    return answer


def _part(text: str) -> str:
    """One part of a path, whatever is typed."""
    return quote(text, safe="") or "-"


def _again(headers: Mapping[str, str]) -> str:
    """It may have been done: only the same key makes a repeat safe."""
    key = headers.get("idempotency-key")
    return f"\nrepeat it with --idempotency-key {key}" if key else ""


def _show(answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    for name, value in answer.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        typer.echo(f"{name:<17} {'-' if text in (None, '') else text}")


def _fail(message: str, *, status: int = 1) -> NoReturn:
    typer.echo(f"farebox admin: {message}", err=True)
    raise typer.Exit(status)
