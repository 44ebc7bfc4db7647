"""`farebox doctor`: look at everything an installation needs, and name each fix."""

import os
from collections.abc import Iterator
from pathlib import Path

from farebox.dotenv import load_env
from farebox.start.finding import Finding, failure, fine
from farebox.start.machine import machine, private
from farebox.start.upstreams import upstreams
from libs.catalogue import Catalogue, CatalogueError, load


def examine(config: Path, data: Path, *, calls: bool) -> Iterator[Finding]:
    """Tell each finding as it is made; with `calls` the upstreams are really called."""
    load_env(config)
    yield from private(config.absolute().parent / ".env")
    yield from private(data / "secrets.env")
    try:
        catalogue = load(config)
    except CatalogueError as error:
        for text in error.errors:
            fix = f"correct {config}, or write one with farebox init"
            yield failure("configuration", text, fix)
        return
    yield fine("configuration", _summary(catalogue))
    yield from machine(catalogue, data, os.environ)
    yield from upstreams(catalogue, os.environ, calls=calls)


def _summary(catalogue: Catalogue) -> str:
    counts = {
        "models": len(catalogue.models),
        "operations": len(catalogue.operations),
        "plans": len(catalogue.plans),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())
