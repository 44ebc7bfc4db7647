"""What is wrong with a farebox.toml.

CatalogueError   the file cannot be used; `.errors` names every fault at once
Wrong            one value is not readable; caught inside this package, becomes a line of `.errors`
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class CatalogueError(Exception):
    """farebox.toml was refused: each of `errors` is one line, key path first, then the fix."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        count = "1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        super().__init__("\n".join([f"farebox.toml has {count}:", *self.errors]))


class Wrong(ValueError):
    """One value cannot be read; the text says what is wrong and how to write it."""


class Problems:
    """Collects faults in the order they are found, so that a reader can mend all in one go."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, path: str, text: str) -> None:
        line = f"{path}: {text}"
        if line not in self.errors:
            self.errors.append(line)


def join(path: str, key: str) -> str:
    """The path of `key` below `path`, written as TOML would write it."""
    text = key if _BARE_KEY.fullmatch(key) else f'"{key}"'
    return f"{path}.{text}" if path else text


def suggestion(name: str, known: Iterable[str]) -> str:
    """A half sentence that names the nearest known word, or all of them when none is near."""
    words = sorted(known)
    near = get_close_matches(name, words, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"known: {', '.join(words)}" if words else "none is defined"
