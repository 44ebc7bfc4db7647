"""docs/reference/settings.md, written from the grammar: `python -m libs.catalogue.reference`."""

import json
from collections.abc import Iterator
from pathlib import Path

from libs.catalogue.grammar import FILE
from libs.catalogue.tables import REQUIRED, Key, ListOf, MapOf, Shape, Table

PAGE = Path("docs/reference/settings.md")

_HEAD = """\
# farebox.toml

Written from the grammar by `python -m libs.catalogue.reference`; do not edit.

Amounts are decimal strings, exact; secrets come from the environment. A key marked *not built yet*
belongs to the grammar and is refused by its name in this version; an unknown key is refused too.
All faults of a file are named at once. `<name>` is a name of your own. The hash of the catalogue
covers `catalogue`, `models`, `operations`, `plans`, `packs` and the prices of `upstreams`.
"""


def settings_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_sections("", FILE)])


def _sections(path: str, table: Table) -> Iterator[str]:
    rows = [(f"{path}{name}", key) for name, key in table.keys.items() if path]
    if rows:
        yield "| key | form | default | meaning |\n|---|---|---|---|"
        for where, key in rows:
            yield from _rows(where, key)
        yield ""
        return
    for name, key in table.keys.items():
        inner, heading = key.shape, name
        if isinstance(inner, MapOf):
            inner, heading = inner.of, f"{name}.<name>"
        assert isinstance(inner, Table)
        yield f"## [{heading}]\n\n{key.means}\n"
        yield from _sections(heading + ".", inner)


def _rows(where: str, key: Key) -> Iterator[str]:
    shape = key.shape
    if isinstance(shape, Table):
        for name, inner in shape.keys.items():
            yield from _rows(f"{where}.{name}", inner)
    elif isinstance(shape, MapOf) and isinstance(shape.of, Table):
        for name, inner in shape.of.keys.items():
            yield from _rows(f"{where}.<{shape.word}>.{name}", inner)
    elif isinstance(shape, ListOf) and isinstance(shape.of, Table):
        for name, inner in shape.of.keys.items():
            yield from _rows(f"{where}[].{name}", inner)
    else:
        means = f"*Not built yet.* {key.means}" if key.later else key.means
        yield f"| `{where}` | {_form(shape)} | {_default(key)} | {means} |"


def _form(shape: Shape | None) -> str:
    match shape:
        case None:
            return ""
        case ListOf():
            return f"list of: {shape.form}"
        case MapOf():
            assert not isinstance(shape.of, Table | MapOf | ListOf)
            return f"table of: {shape.of.form}"
        case Table():
            return "table"
        case _:
            return shape.form


def _default(key: Key) -> str:
    if key.later:
        return ""
    if key.default is REQUIRED:
        return "required"
    return "none" if key.default is None else f"`{json.dumps(key.default)}`"


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
