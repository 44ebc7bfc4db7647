"""A catalogue from the text that was kept by its hash, also one of an older version."""

import hashlib
import json
from dataclasses import replace
from typing import Any, Final

from libs.catalogue.book import Catalogue
from libs.catalogue.build import build
from libs.catalogue.errors import Problems
from libs.catalogue.grammar import FILE
from libs.catalogue.tables import REQUIRED, Key, ListOf, MapOf, Shape, Table, walk

_PLACE: Final = {"shape": "openai", "base_url": "", "key_env": ""}
"""How an upstream is reached is no part of a catalogue's text."""


def stored(text: str) -> Catalogue:
    """What a stored text said. Addresses, and whatever else it does not cover, are defaults.

    Raises ValueError when this version cannot read it.
    """
    try:
        values = json.loads(text)
        for upstream in values["upstreams"].values():
            upstream.update(_PLACE)
        catalogue = build(_whole(FILE, values))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"this is no catalogue that can be read: {error!r}") from error
    # By its own hash: a default of today may not be that of its day.
    return replace(catalogue, text=text, hash=hashlib.sha256(text.encode("ascii")).hexdigest())


def _whole(shape: Shape | None, value: Any) -> Any:
    """The value with what was left out as none, or as today's default."""
    if value is None:
        return None
    match shape:
        case Table():
            return {name: _key(key, name, value) for name, key in shape.keys.items()}
        case MapOf():
            return {name: _whole(shape.of, item) for name, item in value.items()}
        case ListOf():
            return tuple(_whole(shape.of, item) for item in value)
        case _:
            return tuple(value) if isinstance(value, list) else value


def _key(key: Key, name: str, values: dict[str, Any]) -> Any:
    if name in values:
        return _whole(key.shape, values[name])
    if key.default is REQUIRED:
        raise KeyError(name)
    if key.default is None or key.shape is None:
        return None
    return walk(key.shape, key.default, name, Problems())
