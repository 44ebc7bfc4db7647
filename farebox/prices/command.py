"""`farebox prices`: the price book beside farebox.toml, brought up to date and looked at."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from farebox.prices.second import Second
from farebox.prices.source import NAME, NotPricedError, Source, SourceMissingError
from farebox.prices.update import Model, Update, changes, rows_of_day, update
from libs.catalogue import CatalogueError
from libs.catalogue.load import book_path
from libs.catalogue.price_book import PriceBook, parse_book, per_million, wanted_of

app = typer.Typer(
    no_args_is_help=True,
    help="The price book: import, compare, history. Nothing here changes a running price: that "
    "takes the next `farebox catalogue publish`.",
)
DIFFERENT, UNUSABLE = 1, 2

Config = Annotated[
    Path, typer.Option("--config", envvar="FAREBOX_CONFIG", help="The farebox.toml to read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]
SecondPath = Annotated[
    Path | None,
    typer.Option(
        "--second",
        help="LiteLLM's model_prices_and_context_window_backup.json. Default: that of an "
        "installed litellm.",
    ),
]


@app.command("import")
def import_prices(
    items: Annotated[
        list[str] | None,
        typer.Argument(
            help="provider/model, or a provider for all its models. Default: what farebox.toml "
            "takes from its price book.",
            show_default=False,
        ),
    ] = None,
    config: Config = Path("farebox.toml"),
    second: SecondPath = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="The day whose prices are used from now on. Default: today (UTC)."),
    ] = None,
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Also write what the two sources disagree on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Write exact, dated prices into the book, after showing what changes.

    Ends with 1 when something was refused or left in doubt, 2 when nothing could be read.
    """
    raw = _toml(config)
    path = book_path(config, raw)
    source, other = _source(), _second(second)
    old = _book(path)
    new = _moved(old, as_of)
    result = update(new, _wanted(items, raw, source), source, other, accept=accept)
    result.changes = list(changes(old, result.book))
    write = result.book != old
    if not as_json:
        _show(result, other)
    if write and not yes and not as_json:
        write = typer.confirm(f"write {path}?")
    elif as_json:
        write = write and yes
    if write:
        _replace(path, result.book.text())
    if as_json:
        _print({"book": str(path), "written": write} | _facts(result))
    elif write:
        typer.echo(f"{path} is written; look at it, commit it, then: farebox catalogue publish")
    raise typer.Exit(DIFFERENT if result.refused or (result.doubtful and not accept) else 0)


@app.command()
def diff(
    config: Config = Path("farebox.toml"), second: SecondPath = None, *, as_json: Json = False
) -> None:
    """Compare the book with what the installed source and the second one say today.

    Ends with 0 when all agree, 1 when something differs.
    """
    path = book_path(config, _toml(config))
    if not path.exists():
        _fail(f"{path} is not there; make it with farebox prices import")
    book = _book(path)
    other = _second(second)
    result = update(_moved(book, None), book.models(), _source(), other, accept=True)
    result.changes = list(changes(book, result.book))
    if as_json:
        _print({"book": str(path)} | _facts(result))
    else:
        _show(result, other)
    raise typer.Exit(DIFFERENT if result.changes or result.refused or result.doubtful else 0)


@app.command()
def history(
    model: Annotated[str, typer.Argument(help="model or provider/model", show_default=False)],
    config: Config = Path("farebox.toml"),
    *,
    as_json: Json = False,
) -> None:
    """Every price of a model in the book, by the day from which it holds."""
    path = book_path(config, _toml(config))
    book = _book(path)
    found = [one for one in book.models() if model in (one[1], "/".join(one))]
    if not found:
        _fail(f'"{model}" is not in {path}; there is: {_names(book.models())}')
    told = [fact for provider, name in found for fact in _history(book, provider, name)]
    if as_json:
        _print({"as_of": book.as_of, "history": told})
        return
    for fact in told:
        since = fact["effective_from"] or "always"
        typer.echo(f"{fact['model']} from {since}{_STANDING[fact['standing']]}")
        for rate in fact["rates"]:
            above = f" above {rate['tier_start']}" if rate["tier_start"] else ""
            typer.echo(f"  {rate['unit']:<15} {rate['per_million']:>12}{above}")


_STANDING = {"past": "", "in_use": "  (in use)", "to_come": "  (to come: not in use)"}


def _history(book: PriceBook, provider: str, name: str) -> Iterator[dict[str, Any]]:
    days = book.days(provider, name)
    current = max((day for day in days if day <= book.as_of), default=None)
    for day in days:
        standing = "in_use" if day == current else "past" if day <= book.as_of else "to_come"
        rows = rows_of_day(book, provider, name, day)
        yield {
            "model": f"{provider}/{name}",
            "effective_from": day or None,
            "standing": standing,
            "source": f"{rows[0].source} {rows[0].source_version}",
            "rates": [
                {
                    "unit": row.unit,
                    "tier_start": row.tier_start,
                    "pico_per_unit": row.pico_per_unit,
                    "per_million": per_million(row.pico_per_unit),
                }
                for row in rows
            ],
        }


def _wanted(items: list[str] | None, raw: Mapping[str, Any], source: Source) -> list[Model]:
    if not items:
        wanted = [(provider, model) for _, provider, model in wanted_of(raw)]
        if not wanted:
            _fail("no upstream of farebox.toml names a price_book; name provider/model here")
        return wanted
    models: list[Model] = []
    for item in items:
        provider, _, name = item.partition("/")
        try:
            models.extend(
                [(provider, name)] if name else ((provider, n) for n in source.names(provider))
            )
        except NotPricedError as error:
            _fail(str(error))
    return models


def _toml(config: Path) -> dict[str, Any]:
    """farebox.toml as it stands: it may be incomplete until the book is there."""
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _fail(f"{config} is not there; give --config")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _fail(f"{config} cannot be read: {error}")


def _book(path: Path) -> PriceBook:
    if not path.exists():
        return PriceBook("", "USD", (), ())
    try:
        return parse_book(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{path} cannot be read: {error}")
    except CatalogueError as error:
        _fail(*error.errors)


def _moved(book: PriceBook, as_of: str | None) -> PriceBook:
    """The book read for another day, by default today."""
    try:
        day = datetime.strptime(as_of, "%Y-%m-%d").date() if as_of else datetime.now(UTC).date()  # noqa: DTZ007 - a day
    except ValueError:
        _fail(f'"{as_of}" is not a day; write it like 2026-11-29')
    if as_of is None and book.as_of > day.isoformat():
        _fail(f"the book is read for {book.as_of}, which is to come; give --as-of")
    return PriceBook(day.isoformat(), book.currency, book.rows, book.limits)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all: a gateway may start at any moment."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        _fail(f"{path} cannot be written: {error}")


def _source() -> Source:
    try:
        return Source.installed()
    except SourceMissingError as error:
        _fail(str(error))


def _second(path: Path | None) -> Second | None:
    try:
        return Second.read(path) if path else Second.installed()
    except (OSError, ValueError) as error:
        _fail(f"the second source cannot be read: {error}")


def _show(result: Update, second: Second | None) -> None:
    if second is None:
        typer.echo("no second source: nothing is cross-checked, and limits of output are missing")
    for change in result.changes:
        old, new = (_amount(change["unit"], change[when]) for when in ("old", "new"))
        above = f" above {change['tier_start']}" if change["tier_start"] else ""
        typer.echo(f"{change['model']}  {change['unit']}{above}: {old} -> {new}")
    for doubt in result.doubtful:
        one, other = (_amount(doubt["unit"], doubt[name]) for name in ("pico", "second_pico"))
        above = f" above {doubt['tier_start']}" if doubt["tier_start"] else ""
        line = f"{doubt['model']}  {doubt['unit']}{above}: {NAME} {one}, litellm {other}"
        typer.echo(f"in doubt: {line}", err=True)
    for refused in result.refused:
        typer.echo(f"refused: {refused['model']}: {refused['why']}", err=True)
    for note in result.notes:
        typer.echo(f"note: {note['model']}: {'; '.join(note['notes'])}")
    if not result.changes:
        typer.echo("no price changes")


def _amount(unit: str, value: int | None) -> str:
    if value is None:
        return "none"
    return str(value) if unit.startswith("max_") else per_million(value)


def _facts(result: Update) -> dict[str, Any]:
    return {
        "as_of": result.book.as_of,
        "changes": result.changes,
        "doubtful": result.doubtful,
        "refused": result.refused,
        "notes": result.notes,
    }


def _names(models: Iterable[Model]) -> str:
    return ", ".join("/".join(model) for model in models) or "nothing"


def _print(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, indent=2))


def _fail(*messages: str) -> NoReturn:
    for message in messages:
        typer.echo(f"farebox prices: {message}", err=True)
    raise typer.Exit(UNUSABLE)
