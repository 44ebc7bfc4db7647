"""A field's JSON schema in words, for the reference page."""

import re
from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_PRINTABLE: Final = re.compile(r"\^\[ -~\]\{(\d+),(\d+)\}\$")
_ID: Final = re.compile(r"\^([a-z]+)_\[0-9a-f\]\{32\}\$")
_BOUNDS: Final = (("9223372036854775807", "2^63 - 1"), ("4611686018427387904", "2^62"))


def in_words(field: Schema, definitions: Schema) -> str:
    """What may stand in a field; `definitions` are the schema's `$defs`."""
    if "$ref" in field:
        return _object(definitions[field["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in field:
        return " or ".join(in_words(part, definitions) for part in field["anyOf"])
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    kind = field["type"]
    if kind == "string":
        return _string(field)
    if kind == "integer":
        return f"integer {field['minimum']} to {field['maximum']}"
    if kind == "array":
        return _array(field, definitions)
    return _object(field, definitions) if kind == "object" else str(kind)


def _string(field: Schema) -> str:
    if field.get("format") == "date-time":
        return "time"
    if "description" in field:
        words = str(field["description"])
        for number, power in _BOUNDS:
            words = words.replace(number, power)
        return words
    pattern = field.get("pattern", "")
    if "maxLength" in field:
        return f"text of at most {field['maxLength']} characters"
    if printable := _PRINTABLE.fullmatch(pattern):
        return f"printable ASCII, {printable[1]} to {printable[2]} characters"
    if named := _ID.fullmatch(pattern):
        return f"id `{named[1]}_…`"
    if pattern == "^[0-9a-f]{64}$":
        return "hex SHA-256"
    return f"text `{pattern}`".replace("|", "\\|") if pattern else "text"


def _array(field: Schema, definitions: Schema) -> str:
    if "prefixItems" in field:
        return "[" + ", ".join(in_words(part, definitions) for part in field["prefixItems"]) + "]"
    most = f", at most {field['maxItems']}" if "maxItems" in field else ""
    return f"list of {in_words(field['items'], definitions)}{most}"


def _object(field: Schema, definitions: Schema) -> str:
    if "properties" in field:
        parts = [
            f"`{name}`: {in_words(part, definitions)}" for name, part in field["properties"].items()
        ]
        return "{" + ", ".join(parts) + "}"
    (key, values), *_ = field["patternProperties"].items()
    return f"map of `{key}` to {in_words(values, definitions)}, at most {field['maxProperties']}"
