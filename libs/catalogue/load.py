"""Reading farebox.toml: parse a text, load a file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.catalogue.book import Catalogue
from libs.catalogue.build import build
from libs.catalogue.checks import check
from libs.catalogue.errors import CatalogueError, Problems
from libs.catalogue.grammar import FILE
from libs.catalogue.price_book import PriceBook, fill, parse_book, wanted_of
from libs.catalogue.tables import Values, walk


def parse(text: str, book: PriceBook | None = None) -> Catalogue:
    """The catalogue of a farebox.toml text; CatalogueError names every fault at once.

    `book` holds the prices of upstreams that name a price book.
    """
    return build(read(text, book))


def read(text: str, book: PriceBook | None = None) -> Values:
    """The values of a farebox.toml text without faults."""
    raw = _toml(text)
    problems = Problems()
    if book is not None:
        raw = fill(raw, book)
    values = walk(FILE, raw, "", problems)
    check(values, problems)
    _check_currency(values, book, problems)
    if problems.errors:
        raise CatalogueError(problems.errors)
    return dict(values)


def load(path: Path) -> Catalogue:
    """The catalogue of a file; CatalogueError also when it is not there or not UTF-8."""
    return build(load_values(path))


def load_values(path: Path) -> Values:
    """The values of a file and of the price book it names."""
    text = _text(path)
    raw = _toml(text)
    if next(wanted_of(raw), None) is None:
        return read(text)
    return read(text, load_book(path, raw))


def book_path(config: Path, raw: Mapping[str, Any]) -> Path:
    """Where the price book of a farebox.toml is."""
    terms = raw.get("catalogue")
    named = terms.get("price_book") if isinstance(terms, dict) else None
    return config.parent / (named if isinstance(named, str) else "prices.json")


def load_book(config: Path, raw: Mapping[str, Any]) -> PriceBook:
    """The price book of a farebox.toml."""
    path = book_path(config, raw)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fix = "make it with farebox prices import"
        raise CatalogueError([f"catalogue.price_book: {path} cannot be read: {fix}"]) from error
    return parse_book(text, path.name)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError([f"the file is not TOML: {error}; mend that line first"]) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CatalogueError([f"{path} is not UTF-8 text: {error}; save it as UTF-8"]) from error
    except OSError as error:
        reason = error.strerror or error
        raise CatalogueError([f"{path} cannot be read: {reason}; set FAREBOX_CONFIG"]) from error


def _check_currency(values: Values, book: PriceBook | None, problems: Problems) -> None:
    currency = (values.get("catalogue") or {}).get("currency")
    if book is not None and currency is not None and currency != book.currency:
        text = f"is {currency} and the price book is in {book.currency}; they must be the same"
        problems.add("catalogue.currency", text)
