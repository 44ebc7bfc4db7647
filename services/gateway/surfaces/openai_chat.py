"""POST /v1/chat/completions, as the official OpenAI SDKs speak it."""

from typing import Any, Final

import orjson

from libs.catalogue import Usage
from services.gateway.errors import Refusal, invalid, openai_body, openai_event
from services.gateway.estimate import Bound, text_bound
from services.gateway.meter import Meter
from services.gateway.offers import Candidate, Offer
from services.gateway.surfaces.chat_fields import check_fields, choices_of, count_of
from services.gateway.surfaces.chat_meter import ChatMeter, chat_ending
from services.gateway.surfaces.protocol import Parsed

_CAPS: Final = ("max_completion_tokens", "max_tokens")


class OpenAIChat:
    """Chat completions: messages in, one or more choices out, whole or as an event stream."""

    name = "openai_chat"
    path = "/v1/chat/completions"
    shape = "openai"
    passes: frozenset[bytes] = frozenset()
    upstream_path = "/chat/completions"

    def parse(self, raw: bytes) -> Parsed:
        fields = _object(raw)
        model = fields.get("model")
        if not isinstance(model, str) or not model:
            raise invalid("'model' must be the name of a model.", "model")
        check_fields(fields)
        asked = [cap for name in _CAPS if (cap := count_of(fields, name)) is not None]
        try:
            compact = orjson.dumps(fields)
        except TypeError as error:
            raise _malformed() from error
        return Parsed(
            fields=fields,
            compact=compact,
            # What is sent may be longer than what came: 1e15 becomes 1000000000000000.0.
            size=max(len(raw), len(compact)),
            model=model,
            stream=fields.get("stream") is True,
            choices=choices_of(fields),
            # An upstream may obey either of two caps.
            asked=max(asked) if asked else None,
            tools=any(fields.get(name) for name in ("tools", "functions", "response_format")),
        )

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        return text_bound(
            offer,
            size=parsed.size,
            tools=parsed.tools,
            asked=parsed.asked,
            choices=parsed.choices,
        )

    def prepare(self, parsed: Parsed, candidate: Candidate, cap: int) -> bytes:
        changes: dict[str, Any] = {}
        if candidate.upstream_model != parsed.model:
            changes["model"] = candidate.upstream_model
        cap = min(cap, candidate.price.max_output)
        if parsed.asked is None:
            changes[_CAPS[0]] = cap
        else:
            changes |= {name: cap for name in _CAPS if (parsed.fields.get(name) or 0) > cap}
        if parsed.stream and not _asks_for_usage(parsed):
            changes["stream_options"] = _options(parsed) | {"include_usage": True}
        return orjson.dumps(parsed.fields | changes) if changes else parsed.compact

    def meter(self, parsed: Parsed) -> Meter:
        return ChatMeter(choices=parsed.choices, strip_usage=not _asks_for_usage(parsed))

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        assert isinstance(meter, ChatMeter)
        asked = _asks_for_usage(parsed)
        return chat_ending(meter.head(), parsed.choices, usage if asked else None)

    def error_body(self, refusal: Refusal) -> bytes:
        return openai_body(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        return openai_event(refusal)


def _options(parsed: Parsed) -> dict[str, Any]:
    return parsed.fields.get("stream_options") or {}


def _asks_for_usage(parsed: Parsed) -> bool:
    return _options(parsed).get("include_usage") is True


def _object(raw: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _malformed() from error
    if not isinstance(fields, dict):
        raise _malformed()
    return fields


def _malformed() -> Refusal:
    return invalid("The request body is not a JSON object that can be read.", code="invalid_json")
