"""POST /v1/messages/count_tokens: how many tokens the input of a message is, for nothing."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.gateway.offers import Candidate
from services.gateway.surfaces.anthropic_blocks import BlockReader
from services.gateway.surfaces.anthropic_fields import check_message
from services.gateway.surfaces.anthropic_messages import AnthropicDialect
from services.gateway.surfaces.openai_fields import compacted, json_object, model_of


class AnthropicCounting(AnthropicDialect):
    """The provider's own count; what could not be sold is not counted either."""

    path = "/v1/messages/count_tokens"
    upstream_path = "/messages/count_tokens"

    def parse(self, raw: bytes) -> tuple[str, Mapping[str, Any]]:
        """The model, and the fields; raises Refusal as a message would."""
        fields = json_object(raw)
        model = model_of(fields)
        check_message(fields, BlockReader())
        compacted(fields)
        return model, fields

    def prepare(self, fields: Mapping[str, Any], candidate: Candidate) -> bytes:
        return orjson.dumps({**fields, "model": candidate.upstream_model})
