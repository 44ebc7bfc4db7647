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
    one_of,
    only,
    own_tools,
    stream_options,
)
from services.gateway.surfaces.openai_fields import check_fields as check_by
from services.gateway.surfaces.pictures import Pictures

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
        "reasoning",
        "reasoning_content",
        "annotations",
    }
)
_PART_FIELDS: Final = frozenset({"type", "text", "refusal", "image_url"})
_TEXT_PARTS: Final = ("text", "refusal")


def check_fields(fields: Mapping[str, Any]) -> Pictures:
    """Refuse what may escape the bound, with the field's name in `param`; the images in it."""
    check_by(fields, HARMLESS, _CHECKS)
    pictures = Pictures()
    _check_messages(fields.get("messages"), pictures)
    return pictures


def _prediction(name: str, value: Any) -> None:
    """Text that is expected to come back: what does not is paid for as output all the same."""
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object.", name)
    one_of("content")(f"{name}.type", value.get("type"))
    only(value, ("type", "content"), name)
    _check_content(value.get("content"), f"{name}.content", None)


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
    "prediction": _prediction,
    "tools": own_tools,
    "functions": listed,
}


def _check_messages(messages: Any, pictures: Pictures) -> None:
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
        _check_content(message.get("content"), f"{where}.content", pictures)


def _check_content(content: Any, where: str, pictures: Pictures | None) -> None:
    """Only parts that are sold; without `pictures` no images."""
    sold = _TEXT_PARTS if pictures is None else (*_TEXT_PARTS, "image_url")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"'{where}' must be a text or a list of parts.", where)
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if not isinstance(part, dict) or part.get("type") not in sold:
            # The tokens of a sound or a file have nothing to do with its bytes here.
            raise unsupported(f"{place}.type", f"Sold are: {', '.join(sold)}.")
        only(part, _PART_FIELDS, place)
        if pictures is not None and part["type"] == "image_url":
            _check_image(part.get("image_url"), f"{place}.image_url", pictures)


def _check_image(image: Any, where: str, pictures: Pictures) -> None:
    if not isinstance(image, dict):
        raise invalid(f"'{where}' must be an object.", where)
    only(image, ("url", "detail"), where)
    pictures.take(f"{where}.url", image.get("url"), f"{where}.detail", image.get("detail"))
