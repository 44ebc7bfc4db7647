"""POST /v1/responses, as the official OpenAI SDKs speak it."""

from libs.catalogue import Usage
from services.gateway.errors import Refusal, response_event
from services.gateway.meter import Meter
from services.gateway.surfaces.openai_dialect import OpenAIDialect
from services.gateway.surfaces.openai_fields import json_object, model_of
from services.gateway.surfaces.protocol import Parsed
from services.gateway.surfaces.responses_fields import check_fields
from services.gateway.surfaces.responses_meter import ResponsesMeter, response_ending


class OpenAIResponses(OpenAIDialect):
    """Responses: items in, items out, whole or as named events; the cap covers the reasoning."""

    name = "openai_responses"
    path = "/v1/responses"
    upstream_path = "/responses"
    caps = ("max_output_tokens",)
    carrier = "input"
    tiers = True

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        pictures = check_fields(fields)
        text = fields.get("text") or {}
        tools = bool(fields.get("tools") or text.get("format"))
        return self._parsed(raw, fields, pictures, tools=tools)

    def meter(self, parsed: Parsed) -> Meter:
        del parsed
        return ResponsesMeter()

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        del parsed
        assert isinstance(meter, ResponsesMeter)
        return response_ending(meter, usage)

    def error_event(self, refusal: Refusal) -> bytes:
        return response_event(refusal)
