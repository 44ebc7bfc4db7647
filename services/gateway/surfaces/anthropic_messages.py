"""POST /v1/messages, as the official Anthropic SDKs speak it."""

from typing import Any

import orjson

from libs.catalogue import Usage
from services.gateway.errors import Refusal, invalid, unsupported
from services.gateway.estimate import Bound, text_bound
from services.gateway.keys import Headers
from services.gateway.limits.headers import anthropic_rate_headers
from services.gateway.meter import Meter
from services.gateway.offers import Candidate, Offer
from services.gateway.surfaces.anthropic_blocks import BlockReader
from services.gateway.surfaces.anthropic_errors import (
    anthropic_body,
    anthropic_event,
    anthropic_status,
)
from services.gateway.surfaces.anthropic_fields import (
    CLIENT_TOOL_TOKENS,
    check_message,
    client_tools,
)
from services.gateway.surfaces.anthropic_headers import forwarded
from services.gateway.surfaces.anthropic_meter import MessageMeter
from services.gateway.surfaces.normal_form import normal_size
from services.gateway.surfaces.openai_dialect import standard_tier
from services.gateway.surfaces.openai_fields import compacted, count_of, json_object, model_of
from services.gateway.surfaces.protocol import Parsed


class AnthropicDialect:
    """Messages in, and errors as the official Anthropic SDKs read them."""

    shape = "anthropic"
    rate_headers = staticmethod(anthropic_rate_headers)

    status_of = staticmethod(anthropic_status)

    def forwards(self, headers: Headers) -> dict[str, str]:
        return forwarded(headers)

    def error_body(self, refusal: Refusal) -> bytes:
        return anthropic_body(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        return anthropic_event(refusal)


class AnthropicMessages(AnthropicDialect):
    """Messages: a conversation in, one answer out, whole or as an event stream."""

    name = "anthropic_messages"
    path = "/v1/messages"
    upstream_path = "/messages"

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model = model_of(fields)
        reader = BlockReader()
        check_message(fields, reader)
        asked = count_of(fields, "max_tokens")
        if asked is None:
            raise invalid("'max_tokens' is required.", "max_tokens")
        compact = compacted(fields)
        # In the compact form all characters are themselves, none is written as an escape.
        size = max(len(raw), normal_size(compact.decode()))
        return Parsed(
            fields=fields,
            compact=compact,
            size=size - reader.image_bytes + client_tools(fields) * CLIENT_TOOL_TOKENS,
            model=model,
            stream=fields.get("stream") is True,
            choices=1,
            asked=asked,
            tools=_adds_text(fields),
            images=tuple(reader.images),
            hour_cache=reader.hour_cache,
        )

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        images = offer.image_tokens(parsed.images) if parsed.images else 0
        if images is None:
            raise unsupported("messages", "This model is sold without images.")
        return text_bound(
            offer,
            size=parsed.size + images,
            tools=parsed.tools,
            asked=parsed.asked,
            choices=1,
            hour_cache=parsed.hour_cache,
        )

    def prepare(self, parsed: Parsed, candidate: Candidate, cap: int) -> bytes:
        changes: dict[str, Any] = {}
        if candidate.upstream_model != parsed.model:
            changes["model"] = candidate.upstream_model
        if candidate.upstream.tier == "standard":
            changes |= standard_tier(parsed.fields, "standard_only")
        cap = min(cap, candidate.price.max_output)
        if parsed.asked is None or cap < parsed.asked:
            changes["max_tokens"] = cap
        return orjson.dumps(parsed.fields | changes) if changes else parsed.compact

    def meter(self, parsed: Parsed) -> Meter:
        del parsed
        return MessageMeter()

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        """The events that end a stream now, as Anthropic's own end at `max_tokens`."""
        del parsed
        told: list[dict[str, Any]] = []
        if isinstance(meter, MessageMeter) and meter.open_block is not None:
            told.append({"type": "content_block_stop", "index": meter.open_block})
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        counts = {"output_tokens": usage.output_tokens}
        told.append({"type": "message_delta", "delta": delta, "usage": counts})
        told.append({"type": "message_stop"})
        return b"".join(map(_event, told))


def _event(data: dict[str, Any]) -> bytes:
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def _adds_text(fields: dict[str, Any]) -> bool:
    """Whether the provider explains tools, or a form of answer, in a text of its own."""
    return bool(fields.get("tools") or (fields.get("output_config") or {}).get("format"))
