"""Which fields of a chat completion may pass: the allow-list of what the bound covers (PRC-7).

A field is let through when it cannot change the price, or when the bound counts it. All others are
refused by name, also unknown ones: a provider may start to charge for a field before we know it.
A field that is null counts as absent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from services.gateway.errors import invalid, unsupported

HARMLESS: Final = frozenset(
    {
        "model",
        "messages",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "user",
        "response_format",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "metadata",
        "store",
        "safety_identifier",
        "prompt_cache_key",
    }
)
"""Fields that pass as they are: their text counts by its bytes, their values cost nothing."""

_MESSAGE_FIELDS: Final = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "refusal",
        "reasoning_content",
        "annotations",
    }
)
_PART_FIELDS: Final = frozenset({"type", "text", "refusal"})
_TEXT_PARTS: Final = ("text", "refusal")
_TOOLS: Final = ("function", "custom")
_MOST_CHOICES: Final = 128
_UNBOUNDED: Final = "Its cost cannot be bounded before the request runs."


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse what may escape the bound; raises Refusal with the field's name in `param`."""
    for name, value in fields.items():
        if value is None or name in HARMLESS:
            continue
        check = _CHECKS.get(name)
        if check is None:
            raise unsupported(name[:64], _UNBOUNDED)
        check(name, value)
    _check_messages(fields.get("messages"))


def count_of(fields: Mapping[str, Any], name: str, most: int | None = None) -> int | None:
    """A positive whole number, or None where the field is absent."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1 or (most is not None and value > most):
        raise invalid(f"'{name}' must be a whole number from 1.", name)
    return value


def choices_of(fields: Mapping[str, Any]) -> int:
    return count_of(fields, "n", _MOST_CHOICES) or 1


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise invalid(f"'{name}' must be true or false.", name)


def _tier(name: str, value: Any) -> None:
    if value != "default":
        raise unsupported(name, "Only 'default' is sold.")


def _modalities(name: str, value: Any) -> None:
    if value != ["text"]:
        raise unsupported(name, "Only ['text'] is sold.")


def _stream_options(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object.", name)
    for option, flag in value.items():
        if option not in {"include_usage", "include_obfuscation"}:
            raise unsupported(f"{name}.{option[:64]}", _UNBOUNDED)
        if flag is not None:
            _flag(f"{name}.{option}", flag)


def _tools(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise invalid(f"'{name}' must be a list.", name)
    for index, tool in enumerate(value):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in _TOOLS:
            # A hosted tool runs turns of its own, each paying for the whole input again.
            raise unsupported(f"{name}[{index}].type", f"Sold are: {', '.join(_TOOLS)}.")


def _functions(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise invalid(f"'{name}' must be a list.", name)


def _counted(_name: str, _value: Any) -> None:
    """Read and checked by `count_of`."""


_CHECKS: Final[Mapping[str, Callable[[str, Any], None]]] = {
    "max_tokens": _counted,
    "max_completion_tokens": _counted,
    "n": _counted,
    "stream": _flag,
    "stream_options": _stream_options,
    "service_tier": _tier,
    "modalities": _modalities,
    "tools": _tools,
    "functions": _functions,
}


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list of messages.", "messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(f"'{where}' must be an object.", where)
        if not isinstance(message.get("role"), str):
            # Without it a message of two bytes could be three tokens.
            raise invalid(f"'{where}.role' must be a text.", f"{where}.role")
        _only(message, _MESSAGE_FIELDS, where)
        _check_content(message.get("content"), f"{where}.content")


def _check_content(content: Any, where: str) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"'{where}' must be a text or a list of parts.", where)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS:
            # The tokens of an image, a sound or a file have nothing to do with its bytes here.
            raise unsupported(f"{where}[{index}].type", f"Sold are: {', '.join(_TEXT_PARTS)}.")
        _only(part, _PART_FIELDS, f"{where}[{index}]")


def _only(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for name, value in given.items():
        if name not in known and value is not None:
            raise unsupported(f"{where}.{name[:64]}", _UNBOUNDED)
