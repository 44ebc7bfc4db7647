"""Which fields of a chat completion may pass: the allow-list of what the bound covers (PRC-7)."""

from collections.abc import Mapping
from typing import Any, Final

from services.gateway.errors import invalid, unsupported
from services.gateway.surfaces.openai_fields import (
    Check,
    counted,
    default_tier,
    flag,
    listed,
    only,
    own_tools,
    stream_options,
)
from services.gateway.surfaces.openai_fields import check_fields as check_by

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


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse what may escape the bound; raises Refusal with the field's name in `param`."""
    check_by(fields, HARMLESS, _CHECKS)
    _check_messages(fields.get("messages"))


def _modalities(name: str, value: Any) -> None:
    if value != ["text"]:
        raise unsupported(name, "Only ['text'] is sold.")


_CHECKS: Final[Mapping[str, Check]] = {
    "max_tokens": counted,
    "max_completion_tokens": counted,
    "n": counted,
    "stream": flag,
    "stream_options": stream_options("include_usage", "include_obfuscation"),
    "service_tier": default_tier,
    "modalities": _modalities,
    "tools": own_tools,
    "functions": listed,
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
        only(message, _MESSAGE_FIELDS, where)
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
        only(part, _PART_FIELDS, f"{where}[{index}]")
