"""Which fields of an Anthropic message may pass: the allow-list of what the bound covers (PRC-7).

As in the OpenAI dialect: a field passes when it cannot change the price, or when the bound counts
it; all others are refused by name. Images are bounded by their size, thinking by `max_tokens`.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.gateway.errors import invalid, unsupported
from services.gateway.surfaces.anthropic_blocks import BlockReader
from services.gateway.surfaces.openai_fields import (
    Check,
    check_fields,
    counted,
    flag,
    listed,
    one_of,
    only,
)

HARMLESS: Final = frozenset({"model", "temperature", "top_p", "top_k", "stop_sequences"})
"""Fields that pass as they are: their text counts by its bytes, their values cost nothing."""

_TOOL_FIELDS: Final = frozenset(
    {
        "type",
        "name",
        "description",
        "input_schema",
        "input_examples",
        "cache_control",
        "strict",
        "eager_input_streaming",
        "max_characters",
        "allowed_callers",
        "defer_loading",
    }
)
_CLIENT_TOOLS: Final = frozenset(
    {
        "bash_20250124",
        "text_editor_20250124",
        "text_editor_20250429",
        "text_editor_20250728",
        "memory_20250818",
    }
)
"""Anthropic's own tools that the client runs: their text is the provider's."""
CLIENT_TOOL_TOKENS: Final = 1_024
"""More than the hidden text of one of them."""
_THINKING: Final = ("enabled", "disabled", "adaptive")


def check_message(fields: Mapping[str, Any], reader: BlockReader) -> None:
    """Refuse what may escape the bound; raises Refusal with the field's name in `param`."""
    check_fields(fields, HARMLESS, _CHECKS)
    _check_budget(fields)
    reader.cache("cache_control", fields.get("cache_control"))
    reader.system(fields.get("system"))
    _check_tools(fields.get("tools"), reader)
    _check_messages(fields.get("messages"), reader)


def client_tools(fields: Mapping[str, Any]) -> int:
    """How many of the tools have a text that is not in the request."""
    return sum(tool.get("type") in _CLIENT_TOOLS for tool in fields.get("tools") or ())


def _object(*known: str) -> Check:
    """An object of these fields, whatever they hold."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise invalid(f"'{name}' must be an object.", name)
        only(value, known, name)

    return check


def _thinking(name: str, value: Any) -> None:
    _object("type", "budget_tokens", "display")(name, value)
    one_of(*_THINKING)(f"{name}.type", value.get("type"))
    budget = value.get("budget_tokens")
    if budget is not None and (type(budget) is not int or budget < 1):
        raise invalid(f"'{name}.budget_tokens' must be a whole number from 1.", name)


def _check_budget(fields: Mapping[str, Any]) -> None:
    """What is thought is a part of `max_tokens`, also when it is interleaved with tool calls."""
    budget = (fields.get("thinking") or {}).get("budget_tokens") or 0
    most = fields.get("max_tokens")
    if budget and type(most) is int and budget >= most:
        name = "thinking.budget_tokens"
        raise invalid(f"'{name}' must be less than 'max_tokens'.", name)


def _read_apart(_name: str, _value: Any) -> None:
    """Read and checked with the blocks."""


_CHECKS: Final[Mapping[str, Check]] = {
    "max_tokens": counted,
    "stream": flag,
    "metadata": _object("user_id"),
    "tool_choice": _object("type", "name", "disable_parallel_tool_use"),
    "output_config": _object("effort", "format"),
    "thinking": _thinking,
    # What the operator has bought of another tier has another price.
    "service_tier": one_of("standard_only"),
    "speed": one_of("standard"),
    "cache_control": _read_apart,
    "system": _read_apart,
    "tools": _read_apart,
    "messages": _read_apart,
}


def _check_tools(tools: Any, reader: BlockReader) -> None:
    if tools is None:
        return
    for index, tool in enumerate(listed("tools", tools)):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise invalid(f"'{where}' must be an object.", where)
        kind = tool.get("type")
        if kind not in (None, "custom") and kind not in _CLIENT_TOOLS:
            # A hosted tool runs turns of its own, each paying for the whole input again.
            raise unsupported(f"{where}.type", "Sold are tools that the client runs itself.")
        only(tool, _TOOL_FIELDS, where)
        if tool.get("defer_loading") or tool.get("allowed_callers") not in (None, ["direct"]):
            name = "defer_loading" if tool.get("defer_loading") else "allowed_callers"
            raise unsupported(f"{where}.{name}", "It needs a tool that the provider runs.")
        reader.cache(f"{where}.cache_control", tool.get("cache_control"))


def _check_messages(messages: Any, reader: BlockReader) -> None:
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list of messages.", "messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(f"'{where}' must be an object.", where)
        if not isinstance(message.get("role"), str):
            # Without it a message of two bytes could be three tokens.
            raise invalid(f"'{where}.role' must be a text.", f"{where}.role")
        only(message, ("role", "content"), where)
        reader.content(f"{where}.content", message.get("content"))
