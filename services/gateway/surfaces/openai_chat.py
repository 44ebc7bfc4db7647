"""POST /v1/chat/completions, as the official OpenAI SDKs speak it."""

from typing import Any, Final

from libs.catalogue import Usage
from services.gateway.meter import Meter
from services.gateway.offers import Candidate
from services.gateway.surfaces.chat_fields import check_fields
from services.gateway.surfaces.chat_meter import ChatMeter, chat_ending
from services.gateway.surfaces.normal_form import text_size
from services.gateway.surfaces.openai_dialect import OpenAIDialect, asks_for_usage
from services.gateway.surfaces.openai_fields import choices_of, compacted, json_object, model_of
from services.gateway.surfaces.protocol import Parsed

_NEWER: Final = "max_completion_tokens"
_OLDER: Final = "max_tokens"


class OpenAIChat(OpenAIDialect):
    """Chat completions: messages in, one or more choices out, whole or as an event stream."""

    name = "openai_chat"
    path = "/v1/chat/completions"
    upstream_path = "/chat/completions"
    caps = (_NEWER, _OLDER)
    carrier = "messages"
    tiers = True
    reports_when_asked = True

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        pictures, choices = check_fields(fields), choices_of(fields)
        predicted = fields.get("prediction")
        return self._parsed(
            raw,
            fields,
            pictures,
            choices=choices,
            beside=text_size(compacted(predicted)) * choices if predicted else 0,
            tools=any(fields.get(name) for name in ("tools", "functions", "response_format")),
        )

    def _capped(self, parsed: Parsed, cap: int, candidate: Candidate) -> dict[str, Any]:
        if candidate.upstream.cap_field != _OLDER:
            return super()._capped(parsed, cap, candidate)
        # It may refuse or ignore the newer name, and then nothing would cap the answer.
        given = parsed.fields.get(_OLDER)
        changes = {_NEWER: None} if _NEWER in parsed.fields else {}
        return changes if given and given <= cap else changes | {_OLDER: cap}

    def meter(self, parsed: Parsed) -> Meter:
        return ChatMeter(choices=parsed.choices, strip_usage=not asks_for_usage(parsed))

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        assert isinstance(meter, ChatMeter)
        told = usage if asks_for_usage(parsed) else None
        return chat_ending(meter.head(), parsed.choices, told)
