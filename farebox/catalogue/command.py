"""`farebox catalogue`: what is sold by, what would change, and publishing it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from farebox.catalogue.client import AdminApi, AdminApiError
from libs.catalogue import Catalogue, CatalogueError, load, price_lines
from libs.catalogue.compare import Change, compare, flat
from libs.catalogue.stored import stored

app = typer.Typer(
    no_args_is_help=True, help="Publish what is sold: a gateway charges by a published one only."
)
REFUSED, BAD_CONFIGURATION = 1, 2
OTHERS = "others"

Config = Annotated[
    Path, typer.Option("--config", envvar="FAREBOX_CONFIG", help="The farebox.toml to read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Hash = Annotated[
    str | None,
    typer.Argument(help="Hash of a published catalogue, or how it begins.", show_default=False),
]


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
    context.obj = AdminApi(url, token)


@app.command()
def publish(
    context: typer.Context,
    config: Config = Path("farebox.toml"),
    effective_from: Annotated[
        str | None, typer.Option(help="RFC 3339, such as 2027-01-01T00:00:00Z. Default: at once.")
    ] = None,
    withdraw: Annotated[
        list[str] | None,
        typer.Option(
            help="Hash of a catalogue that ends when this one begins; repeatable; "
            f'"{OTHERS}": all that are in force.'
        ),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Show what changes for customers, then let every partition sell by farebox.toml.

    Publishing again with the same terms changes nothing. Restart the gateways with the same file
    afterwards; those that still have an older one sell by that until it is withdrawn.
    """
    api, new = _api(context), _load(config)
    told = _published(api)
    old = _before(api, told, new.hash)
    changes = compare(old, new)
    ends = list(_withdrawn(withdraw or [], told, new.hash))
    if _in_force(told, new.hash) and not ends and effective_from is None:
        if as_json:
            _print({"hash": new.hash, "changes": []} | told)
        else:
            typer.echo(f"{new.hash} is in force already")
        return
    if not as_json:
        _tell_changes(old, new, changes)
        for name in ends:
            typer.echo(f"withdraws {name}: a gateway that still sells by it is refused")
        if not yes and not typer.confirm("publish?"):
            raise typer.Exit(REFUSED)
    elif not yes:
        _fail("--json does not ask: give --yes as well", status=BAD_CONFIGURATION)
    try:
        answer = api.publish(new.text, effective_from=effective_from, withdraws=ends)
    except AdminApiError as error:
        _fail(f"{error}\npublishing is safe to repeat")
    if as_json:
        _print({"hash": new.hash, "changes": [asdict(change) for change in changes]} | answer)
    else:
        typer.echo(f"published {new.hash}; now restart the gateways with this farebox.toml")


@app.command()
def diff(
    context: typer.Context,
    against: Hash = None,
    config: Config = Path("farebox.toml"),
    *,
    as_json: Json = False,
) -> None:
    """What farebox.toml would change for customers.

    Ends with 0 when nothing, 1 when something, 2 when it cannot be told.
    """
    api, new = _api(context), _load(config)
    try:
        told = _published(api)
        if against is None:
            old = _before(api, told, new.hash)
        else:
            old = _stored(api, _whole_hash(against, told))
    except typer.Exit as refused:
        raise typer.Exit(BAD_CONFIGURATION) from refused
    changes = compare(old, new)
    if as_json:
        old_hash = None if old is None else old.hash
        listed = [asdict(change) for change in changes]
        _print({"old": old_hash, "new": new.hash, "changes": listed})
    else:
        _tell_changes(old, new, changes)
    raise typer.Exit(1 if changes else 0)


@app.command("list")
def list_catalogues(
    context: typer.Context, config: Config = Path("farebox.toml"), *, as_json: Json = False
) -> None:
    """Every catalogue that was published, the first one first."""
    told = _published(_api(context))
    if as_json:
        _print(told)
        return
    own = _load(config).hash if config.exists() else told["configured"]
    for row in told["catalogues"]:
        until = f" until {row['withdrawn_from']}" if row["withdrawn_from"] else ""
        marks = [
            mark
            for mark, holds in (
                ("in force", row["in_force"]),
                ("this file", row["hash"] == own),
                (f"{row['partitions']} of {told['partitions']} partitions", _partial(row, told)),
            )
            if holds
        ]
        typer.echo(f"{row['hash']} from {row['effective_from']}{until}  {', '.join(marks)}")
    if own not in {row["hash"] for row in told["catalogues"]}:
        typer.echo(f"{own} of this file is not published")


@app.command()
def show(
    context: typer.Context,
    catalogue: Hash = None,
    config: Config = Path("farebox.toml"),
    *,
    as_json: Json = False,
) -> None:
    """The prices of a catalogue, plan by plan in the plan's unit; by default farebox.toml's."""
    if catalogue is None:
        found = _load(config)
    else:
        api = _api(context)
        found = _stored(api, _whole_hash(catalogue, _published(api)))
    plans = {name: price_lines(found, plan) for name, plan in sorted(found.plans.items())}
    if as_json:
        _print({"hash": found.hash, "plans": plans})
        return
    typer.echo(found.hash)
    for name, lines in plans.items():
        typer.echo(f"plan {name} ({found.plans[name].unit})")
        for line in lines:
            typer.echo(f"  {line['name']}")
            for fact, value in flat(line).items():
                typer.echo(f"    {fact:<24} {value}")


def _api(context: typer.Context) -> AdminApi:
    api: AdminApi = context.obj
    if not api.token:
        _fail("set FAREBOX_ADMIN_TOKEN or give --token", status=BAD_CONFIGURATION)
    return api


def _load(config: Path) -> Catalogue:
    try:
        return load(config)
    except CatalogueError as error:
        _fail(*error.errors, status=BAD_CONFIGURATION)


def _published(api: AdminApi) -> dict[str, Any]:
    try:
        return api.published()
    except AdminApiError as error:
        _fail(str(error))


def _stored(api: AdminApi, name: str) -> Catalogue:
    try:
        text = api.text(name)
        found = stored(text)
    except (AdminApiError, ValueError) as error:
        _fail(str(error))
    if found.hash != name:
        _fail(f"the text of {name} has the hash {found.hash}: it is not what was published")
    return found


def _before(api: AdminApi, told: Mapping[str, Any], new: str) -> Catalogue | None:
    """What is sold by now: the last other catalogue that is in force, else the new one itself."""
    names = [row["hash"] for row in told["catalogues"] if row["in_force"]]
    others = [name for name in names if name != new]
    return _stored(api, (others or names)[-1]) if names else None


def _in_force(told: Mapping[str, Any], name: str) -> bool:
    return any(row["hash"] == name and row["in_force"] for row in told["catalogues"])


def _withdrawn(named: list[str], told: Mapping[str, Any], new: str) -> Iterator[str]:
    for name in named:
        if name != OTHERS:
            yield _whole_hash(name, told)
            continue
        for row in told["catalogues"]:
            if row["in_force"] and row["hash"] != new:
                yield row["hash"]


def _whole_hash(start: str, told: Mapping[str, Any]) -> str:
    known = [row["hash"] for row in told["catalogues"]]
    found = [name for name in known if name.startswith(start)]
    if len(found) != 1:
        _fail(f'"{start}" begins {len(found)} published catalogues; there are: {", ".join(known)}')
    return str(found[0])


def _partial(row: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return bool(row["partitions"] != told["partitions"])


def _tell_changes(old: Catalogue | None, new: Catalogue, changes: Sequence[Change]) -> None:
    before = "nothing was published before" if old is None else f"from {old.hash}"
    typer.echo(f"{before}\nto   {new.hash}")
    for (of, item), group in groupby(changes, key=lambda change: (change.of, change.item)):
        typer.echo(f"{of}{f', {item}' if item else ''}")
        for change in group:
            one = "(not there)" if change.old is None else change.old
            other = "(gone)" if change.new is None else change.new
            typer.echo(f"  {change.fact}: {one} -> {other}")
    if not changes:
        typer.echo("nothing changes for customers")


def _print(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, indent=2))


def _fail(*messages: str, status: int = REFUSED) -> NoReturn:
    for message in messages:
        typer.echo(f"farebox catalogue: {message}", err=True)
    raise typer.Exit(status)
