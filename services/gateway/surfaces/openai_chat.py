"""POST /v1/chat/completions, as the official OpenAI SDKs speak it."""

from services.gateway.meter import Meter
from services.gateway.surfaces.chat_fields import check_fields
from services.gateway.surfaces.chat_meter import ChatMeter
from services.gateway.surfaces.openai_dialect import OpenAIDialect, asks_for_usage
from services.gateway.surfaces.openai_fields import choices_of, json_object, model_of
from services.gateway.surfaces.protocol import Parsed


class OpenAIChat(OpenAIDialect):
    """Chat completions: messages in, one or more choices out, whole or as an event stream."""

    name = "openai_chat"
    path = "/v1/chat/completions"
    upstream_path = "/chat/completions"
    caps = ("max_completion_tokens", "max_tokens")
    reports_when_asked = True

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        check_fields(fields)
        return self._parsed(
            raw,
            fields,
            choices=choices_of(fields),
            tools=any(fields.get(name) for name in ("tools", "functions", "response_format")),
        )

    def meter(self, parsed: Parsed) -> Meter:
        return ChatMeter(choices=parsed.choices, strip_usage=not asks_for_usage(parsed))
