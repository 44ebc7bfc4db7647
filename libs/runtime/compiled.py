"""The same modules as machine code, where somebody had them compiled: `make compiled`.

What was compiled lies in a folder of its own, beside a list of the sources it was made from. It is
used only while every one of them is as it was then, so an edited source is never shadowed by what
it said before: then all of it runs as plain Python, which means the same and is slower.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from libs.runtime.metrics import gauge

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
FOLDER = ".compiled"
LIST = "list.json"
SWITCH = "FAREBOX_COMPILED"
"""`0` in the environment leaves what was compiled alone."""


_running = gauge("compiled_modules", "Modules that run as machine code; 0 is plain Python")


class Stale(Exception):
    """What was compiled is not what the sources say now, or is for another Python."""


class Finder(MetaPathFinder):
    """Finds compiled modules before their sources are found."""

    def __init__(self, modules: Mapping[str, Path]) -> None:
        self.modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        place = self.modules.get(fullname)
        if place is None:
            return None
        loader = ExtensionFileLoader(fullname, str(place))
        return spec_from_file_location(fullname, place, loader=loader)


def use_compiled(root: Path = ROOT) -> None:
    """Import compiled modules from here on, where there are any."""
    modules = usable(root)
    if modules:
        sys.meta_path.insert(0, Finder(modules))
    _running.set(count(modules))


def usable(root: Path = ROOT) -> dict[str, Path]:
    """What a process would use that starts now; nothing when it would be plain Python."""
    if os.environ.get(SWITCH) == "0" or not (root / FOLDER / LIST).is_file():
        return {}
    try:
        return compiled_modules(root)
    except Stale as stale:
        log.warning("plain Python: %s; `make compiled` compiles anew", stale)
        return {}


def count(modules: Iterable[str]) -> int:
    """How many of them are ours: beside these stands what they share."""
    return sum("." in name for name in modules)


def compiled_modules(root: Path) -> dict[str, Path]:
    """Each module and where it lies as machine code. Raises Stale, and OSError when none does."""
    folder = root / FOLDER
    made = json.loads((folder / LIST).read_text())
    if made["python"] != sys.implementation.cache_tag:
        raise Stale(f"compiled for {made['python']}, this is {sys.implementation.cache_tag}")
    for name, digest in made["sources"].items():
        if digest_of(root / name) != digest:
            raise Stale(f"{name} changed since it was compiled")
    return {name: folder / place for name, place in made["modules"].items()}


def digest_of(source: Path) -> str:
    """SHA-256 of a source, empty when it is gone."""
    return hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else ""
