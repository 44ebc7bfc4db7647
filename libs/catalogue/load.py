"""Reading farebox.toml: parse a text, load a file."""

import tomllib
from pathlib import Path

from libs.catalogue.book import Catalogue
from libs.catalogue.build import build
from libs.catalogue.checks import check
from libs.catalogue.errors import CatalogueError, Problems
from libs.catalogue.grammar import FILE
from libs.catalogue.tables import walk


def parse(text: str) -> Catalogue:
    """The catalogue of a farebox.toml text; CatalogueError names every fault at once."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError([f"the file is not TOML: {error}; mend that line first"]) from error
    problems = Problems()
    values = walk(FILE, raw, "", problems)
    check(values, problems)
    if problems.errors:
        raise CatalogueError(problems.errors)
    return build(values)


def load(path: Path) -> Catalogue:
    """The catalogue of a file; CatalogueError also when it is not there or not UTF-8."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CatalogueError([f"{path} is not UTF-8 text: {error}; save it as UTF-8"]) from error
    except OSError as error:
        reason = error.strerror or error
        raise CatalogueError([f"{path} cannot be read: {reason}; set FAREBOX_CONFIG"]) from error
    return parse(text)
