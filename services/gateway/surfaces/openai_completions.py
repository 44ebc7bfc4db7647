"""POST /v1/completions, the older surface: prompts in, the text that follows out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.gateway.errors import invalid
from services.gateway.meter import Meter
from services.gateway.surfaces.chat_meter import COMPLETION_TEXT, ChatMeter
from services.gateway.surfaces.normal_form import normal_size
from services.gateway.surfaces.openai_dialect import OpenAIDialect, asks_for_usage
from services.gateway.surfaces.openai_fields import (
    Check,
    check_fields,
    choices_of,
    counted,
    default_tier,
    flag,
    json_object,
    model_of,
    stream_options,
    texts_or_ids,
)
from services.gateway.surfaces.protocol import Parsed

HARMLESS: Final = frozenset(
    {
        "model",
        "prompt",
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
        "user",
    }
)
_MARKS: Final = 4
"""Tokens around a prompt and the suffix after it."""
DEFAULT_CAP: Final = 16
"""The output without a cap: the dialect promises 16 tokens, so no more is sent or paid for."""


class OpenAICompletions(OpenAIDialect):
    """Completions of one or more prompts, each with one or more choices."""

    name = "openai_completions"
    path = "/v1/completions"
    upstream_path = "/completions"
    caps = ("max_tokens",)
    reports_when_asked = True

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        check_fields(fields, HARMLESS, _CHECKS)
        prompts = texts_or_ids("prompt", fields.get("prompt"))
        each = max(choices_of(fields), choices_of(fields, "best_of"))
        parsed = self._parsed(raw, fields, choices=prompts * each, inputs=prompts)
        return _with_repeats(parsed, each)

    def meter(self, parsed: Parsed) -> Meter:
        choices = parsed.inputs * choices_of(parsed.fields)
        strip = not asks_for_usage(parsed)
        return ChatMeter(choices=choices, strip_usage=strip, text=COMPLETION_TEXT)

    def _asked(self, fields: dict[str, Any]) -> int | None:
        asked = super()._asked(fields)
        return DEFAULT_CAP if asked is None else asked


def _with_repeats(parsed: Parsed, each: int) -> Parsed:
    """Count what is sent once and read or written more often."""
    suffix = parsed.fields.get("suffix") or ""
    size = parsed.size
    if suffix:
        size += parsed.inputs * (normal_size(suffix) + _MARKS)
    echoed = size * each if parsed.fields.get("echo") else 0
    return replace(parsed, size=size, beside=echoed)


def _suffix(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise invalid(f"'{name}' must be a text.", name)


_CHECKS: Final[Mapping[str, Check]] = {
    "max_tokens": counted,
    "n": counted,
    "best_of": counted,
    "echo": flag,
    "suffix": _suffix,
    "stream": flag,
    "stream_options": stream_options("include_usage", "include_obfuscation"),
    "service_tier": default_tier,
}
