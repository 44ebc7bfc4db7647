"""Which fields of a response may pass: the allow-list of what the bound covers (PRC-7).

What the provider keeps for us (earlier responses, conversations, prompts, files, reasoning) may be
of any length, and a tool it runs itself pays for the whole input again: all that is refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.gateway.errors import invalid, unsupported
from services.gateway.surfaces.openai_fields import (
    Check,
    counted,
    default_tier,
    flag,
    only,
    own_tools,
    stream_options,
)
from services.gateway.surfaces.openai_fields import check_fields as check_by
from services.gateway.surfaces.pictures import Pictures

HARMLESS: Final = frozenset(
    {
        "model",
        "input",
        "temperature",
        "top_p",
        "top_logprobs",
        "metadata",
        "parallel_tool_calls",
        "safety_identifier",
        "prompt_cache_key",
        "store",
        "tool_choice",
        "max_tool_calls",
        "truncation",
        "user",
    }
)
"""Fields that pass as they are: their text counts by its bytes, their values cost nothing."""

_CALLED: Final = {"type", "id", "status", "call_id", "name", "namespace"}
_ITEMS: Final[Mapping[str, frozenset[str]]] = {
    "message": frozenset({"type", "id", "status", "role", "content", "phase"}),
    "function_call": frozenset({*_CALLED, "arguments"}),
    "custom_tool_call": frozenset({*_CALLED, "input"}),
    "function_call_output": frozenset({*_CALLED, "output"}),
    "custom_tool_call_output": frozenset({*_CALLED, "output"}),
}
_TEXT: Final = frozenset({"type", "text", "refusal", "annotations", "logprobs"})
_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "input_text": _TEXT,
    "output_text": _TEXT,
    "text": _TEXT,
    "refusal": _TEXT,
    "input_image": frozenset({"type", "image_url", "detail"}),
}
_LISTS: Final = ("content", "output")


def check_fields(fields: Mapping[str, Any]) -> Pictures:
    """Refuse what may escape the bound, with the field's name in `param`; the images in it."""
    check_by(fields, HARMLESS, _CHECKS)
    pictures = Pictures()
    given = fields.get("input")
    if isinstance(given, str) and given:
        return pictures
    if not isinstance(given, list) or not given:
        raise invalid("'input' must be a text or a list of items.", "input")
    for index, item in enumerate(given):
        _check_item(item, f"input[{index}]", pictures)
    return pictures


def _check_item(item: Any, where: str, pictures: Pictures) -> None:
    if not isinstance(item, dict):
        raise invalid(f"'{where}' must be an object.", where)
    kind = item.get("type")
    # Without a type it is a message, or, without a role, the mere name of something kept.
    kind = "message" if kind is None and isinstance(item.get("role"), str) else kind
    known = _ITEMS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise unsupported(f"{where}.type", f"Sold are: {', '.join(_ITEMS)}.")
    only(item, known, where)
    if kind == "message" and not isinstance(item.get("role"), str):
        raise invalid(f"'{where}.role' must be a text.", f"{where}.role")
    if kind == "message" and item.get("content") is None:
        # With its id alone it could pass for the name of something kept, of any length.
        raise invalid(f"'{where}.content' is required.", f"{where}.content")
    for name in _LISTS:
        _check_parts(item.get(name), f"{where}.{name}", pictures)


def _check_parts(parts: Any, where: str, pictures: Pictures) -> None:
    if parts is None or isinstance(parts, str):
        return
    if not isinstance(parts, list):
        raise invalid(f"'{where}' must be a text or a list of parts.", where)
    for index, part in enumerate(parts):
        place = f"{where}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        known = _PARTS.get(kind) if isinstance(kind, str) else None
        if known is None:
            # The tokens of a sound or a file have nothing to do with its bytes here.
            raise unsupported(f"{place}.type", f"Sold are: {', '.join(_PARTS)}.")
        only(part, known, place)
        if kind == "input_image":
            detail = part.get("detail")
            pictures.take(f"{place}.image_url", part.get("image_url"), f"{place}.detail", detail)


def _objects(*known: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise invalid(f"'{name}' must be an object.", name)
        only(value, known, name)

    return check


def _instructions(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise invalid(f"'{name}' must be a text.", name)


def _in_foreground(name: str, value: Any) -> None:
    flag(name, value)
    if value:
        raise unsupported(name, "It would answer before it is known what was used.")


_CHECKS: Final[Mapping[str, Check]] = {
    "instructions": _instructions,
    "max_output_tokens": counted,
    "background": _in_foreground,
    "reasoning": _objects("effort", "summary", "generate_summary"),
    "text": _objects("format", "verbosity"),
    "stream": flag,
    "stream_options": stream_options("include_obfuscation"),
    "service_tier": default_tier,
    "tools": own_tools,
}
