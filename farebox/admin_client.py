"""What all of `farebox admin` shares: asking /admin/v1, and showing what it answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

import httpx
import typer

TIMEOUT_S = 15.0

Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the page as CSV.")]
After = Annotated[
    str | None, typer.Option(help="Where the page before ended: its `next`.", show_default=False)
]
Limit = Annotated[int, typer.Option(help="Rows of a page, at most 500.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="Repeating a command with the same key does it once. Default: a new one.",
    ),
]
Account = Annotated[str, typer.Argument(help="acct_…", show_default=False)]
Reason = Annotated[str, typer.Option(help="A reason code, such as goodwill; stays in the log.")]
Note = Annotated[str | None, typer.Option(help="For people; kept apart from the log.")]
PAGE = 50


@dataclass(frozen=True)
class Api:
    url: str
    token: str


def call(
    context: typer.Context,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Ask the admin API; what it refuses ends the command with status 1."""
    headers = {}
    if method == "POST":
        headers["idempotency-key"] = idempotency_key or str(uuid4())
    response = _request(context, method, path, headers, json=body)
    return _answer_of(context.obj, response, headers)


def rows(
    context: typer.Context,
    path: str,
    field: str,
    columns: Sequence[str],
    *,
    as_json: bool,
    as_csv: bool = False,
    **params: object,
) -> None:
    """Print a page of a list: for people a line a row, of these columns."""
    headers = {"accept": "text/csv" if as_csv else "application/json"}
    asked = {name.rstrip("_"): value for name, value in params.items() if value is not None}
    response = _request(context, "GET", path, headers, params=asked)
    if as_csv and response.is_success:
        typer.echo(response.text, nl=False)
        following = response.headers.get("farebox-next")
    else:
        answer = _answer_of(context.obj, response, headers)
        following = answer.get("next")
        if as_json:
            show(answer, as_json=True)
            return
        table([[_text(row[column]) for column in columns] for row in answer[field]], columns)
    if following is not None:
        typer.echo(f"There is more: --after {following}", err=True)


def table(lines: list[list[str]], columns: Sequence[str]) -> None:
    """Lines in columns that stand under each other."""
    if not lines:
        return
    whole = [list(columns), *lines]
    widths = [max(len(line[n]) for line in whole) for n in range(len(columns))]
    for line in whole:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def part(text: str) -> str:
    """One part of a path, whatever is typed."""
    return quote(text, safe="") or "-"


def show(answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    for name, value in answer.items():
        typer.echo(f"{name:<17} {_text(value)}")


def fail(message: str, *, status: int = 1) -> NoReturn:
    typer.echo(f"farebox admin: {message}", err=True)
    raise typer.Exit(status)


def _request(
    context: typer.Context, method: str, path: str, headers: dict[str, str], **sent: Any
) -> httpx.Response:
    api: Api = context.obj
    if not api.token:
        fail("set FAREBOX_ADMIN_TOKEN or give --token", status=2)
    headers["authorization"] = f"Bearer {api.token}"
    try:
        url = f"{api.url}/admin/v1{path}"
        return httpx.request(method, url, headers=headers, timeout=TIMEOUT_S, **sent)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
        fail(f"the admin API at {api.url} cannot be asked: {error}{_again(headers)}")


def _answer_of(api: Api, response: httpx.Response, headers: Mapping[str, str]) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        fail(f"{api.url} answered {response.status_code} without JSON: is it the admin API?")
    if response.is_error:
        again = _again(headers) if response.status_code == 503 else ""
        fail(f"{answer.get('detail')} ({answer.get('code')}, {response.status_code}){again}")
    return answer


def _again(headers: Mapping[str, str]) -> str:
    """It may have been done: only the same key makes a repeat safe."""
    key = headers.get("idempotency-key")
    return f"\nrepeat it with --idempotency-key {key}" if key else ""


def _text(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, dict):
        value = " ".join(map(str, value.values()))
    return "-" if value in (None, "") else str(value)
