"""What the surfaces of the OpenAI dialect share in reading a request.

A field is let through when it cannot change the price, or when the bound counts it. All others are
refused by name, also unknown ones: a provider may start to charge for a field before we know it.
A field that is null counts as absent.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from services.gateway.errors import Refusal, invalid, unsupported

Check = Callable[[str, Any], object]
"""Raises Refusal for a value that is not sold."""

UNBOUNDED: Final = "Its cost cannot be bounded before the request runs."
MOST_CHOICES: Final = 128
_TOOLS: Final = ("function", "custom")


def json_object(raw: bytes) -> dict[str, Any]:
    """The fields of a body; raises Refusal when it is no JSON object."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise malformed() from error
    if not isinstance(fields, dict):
        raise malformed()
    return fields


def compacted(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON again; raises Refusal where they hold half a character."""
    try:
        return orjson.dumps(fields)
    except TypeError as error:
        raise malformed() from error


def malformed() -> Refusal:
    return invalid("The request body is not a JSON object that can be read.", code="invalid_json")


def model_of(fields: Mapping[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("'model' must be the name of a model.", "model")
    return model


def check_fields(
    fields: Mapping[str, Any], harmless: frozenset[str], checks: Mapping[str, Check]
) -> None:
    """Refuse what may escape the bound; raises Refusal with the field's name in `param`."""
    for name, value in fields.items():
        if value is None or name in harmless:
            continue
        check = checks.get(name)
        if check is None:
            raise unsupported(name[:64], UNBOUNDED)
        check(name, value)


def count_of(fields: Mapping[str, Any], name: str, most: int | None = None) -> int | None:
    """A whole number from 1, or None where the field is absent.

    0 is none: an upstream that takes it for "not given" would not be capped at all.
    """
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1 or (most is not None and value > most):
        raise invalid(f"'{name}' must be a whole number from 1.", name)
    return value


def choices_of(fields: Mapping[str, Any], name: str = "n") -> int:
    return count_of(fields, name, MOST_CHOICES) or 1


def flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise invalid(f"'{name}' must be true or false.", name)


def default_tier(name: str, value: Any) -> None:
    if value != "default":
        raise unsupported(name, "Only 'default' is sold.")


def one_of(*words: Any) -> Check:
    """Only these values are sold."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in words:
            raise unsupported(name, f"Sold are: {', '.join(words)}.")

    return check


def stream_options(*known: str) -> Check:
    """An object of flags with these names."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise invalid(f"'{name}' must be an object.", name)
        for option, given in value.items():
            if option not in known:
                raise unsupported(f"{name}.{option[:64]}", UNBOUNDED)
            if given is not None:
                flag(f"{name}.{option}", given)

    return check


def listed(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"'{name}' must be a list.", name)
    return value


def own_tools(name: str, value: Any) -> None:
    """Tools that the client runs itself."""
    for index, tool in enumerate(listed(name, value)):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in _TOOLS:
            # A hosted tool runs turns of its own, each paying for the whole input again.
            raise unsupported(f"{name}[{index}].type", f"Sold are: {', '.join(_TOOLS)}.")


def counted(_name: str, _value: Any) -> None:
    """Read and checked by `count_of`."""


def only(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse what an object holds beside the known fields."""
    for name, value in given.items():
        if name not in known and value is not None:
            raise unsupported(f"{where}.{name[:64]}", UNBOUNDED)


def texts_or_ids(name: str, value: Any) -> int:
    """How many inputs there are in a text, a list of texts, or one or more lists of token ids.

    An id takes at least two bytes of JSON and a text its own bytes, so that the tokens of all of
    them are fewer than the bytes of the request.
    """
    if isinstance(value, str):
        return 1
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value) or all(map(_are_ids, value)):
            return len(value)
        if _are_ids(value):
            return 1
    raise invalid(f"'{name}' must be a text, a list of texts, or lists of token ids.", name)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
