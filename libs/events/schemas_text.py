"""The JSON schema of every message, as the text of the files that are committed."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from libs.events.commands import COMMANDS
from libs.events.events import EVENTS
from libs.events.replies import STRICT_REPLIES

_FAMILIES: Final[Mapping[str, Mapping[str, type[BaseModel]]]] = {
    "commands": COMMANDS,
    "events": EVENTS,
    "replies": STRICT_REPLIES,
}


def schema_files() -> Iterator[tuple[str, str]]:
    """Path below the schemas folder, and text, of every message's schema."""
    for family, models in _FAMILIES.items():
        for name, model in models.items():
            yield f"{family}/{name}.v1.json", _text(model)


def _text(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
