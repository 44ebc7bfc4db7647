"""What the surfaces of the OpenAI dialect share: their bodies, caps, bounds and errors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from libs.catalogue import Usage
from services.gateway.errors import Refusal, openai_body, openai_event, plain_status, unsupported
from services.gateway.estimate import Bound, text_bound
from services.gateway.keys import Headers
from services.gateway.limits.headers import openai_rate_headers
from services.gateway.meter import Meter
from services.gateway.offers import Candidate, Offer
from services.gateway.surfaces.normal_form import text_size
from services.gateway.surfaces.openai_fields import compacted, count_of, model_of
from services.gateway.surfaces.pictures import Pictures
from services.gateway.surfaces.protocol import Parsed


class OpenAIDialect:
    """Tokens in, tokens out, and errors as the official OpenAI SDKs read them."""

    shape = "openai"
    status_of = staticmethod(plain_status)
    rate_headers = staticmethod(openai_rate_headers)
    caps: ClassVar[tuple[str, ...]]
    """The fields that cap the output; without one of them the first is added."""
    carrier: ClassVar[str] = ""
    """The field that may carry images."""
    tiers: ClassVar[bool] = False
    """Whether a request may name a service tier."""
    reports_when_asked: ClassVar[bool] = False
    """Whether a stream tells its usage only to those who ask for it."""

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        images = offer.image_tokens(parsed.images) if parsed.images else 0
        if images is None:
            raise unsupported(self.carrier, f"'{parsed.model}' is sold without images.")
        return text_bound(
            offer,
            size=parsed.size + images,
            tools=parsed.tools,
            asked=parsed.asked,
            choices=parsed.choices,
            inputs=parsed.inputs,
            beside=parsed.beside,
        )

    def prepare(self, parsed: Parsed, candidate: Candidate, cap: int) -> bytes:
        changes: dict[str, Any] = {}
        if candidate.upstream_model != parsed.model:
            changes["model"] = candidate.upstream_model
        if self.tiers and candidate.upstream.tier == "standard":
            changes |= standard_tier(parsed.fields, "default")
        changes |= self._capped(parsed, min(cap, candidate.price.max_output), candidate)
        if self.reports_when_asked and parsed.stream and not asks_for_usage(parsed):
            changes["stream_options"] = _options(parsed) | {"include_usage": True}
        if not changes:
            return parsed.compact
        sent = parsed.fields | changes
        for name, value in changes.items():
            if value is None:
                del sent[name]
        return orjson.dumps(sent)

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        message = f"no answer to this grows while it runs: {parsed.model} {meter} {usage}"
        raise AssertionError(message)

    def forwards(self, headers: Headers) -> dict[str, str]:
        del headers
        return {}

    def error_body(self, refusal: Refusal) -> bytes:
        return openai_body(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        return openai_event(refusal)

    def _parsed(
        self, raw: bytes, fields: dict[str, Any], pictures: Pictures | None = None, **more: Any
    ) -> Parsed:
        compact = compacted(fields)
        pictures = pictures or Pictures()
        given: dict[str, Any] = {
            "fields": fields,
            "compact": compact,
            # What is sent may be longer than what came: 1e15 becomes 1000000000000000.0.
            "size": max(len(raw), text_size(compact)) - pictures.bytes,
            "images": tuple(pictures.sizes),
            "model": model_of(fields),
            "stream": fields.get("stream") is True,
            "choices": 1,
            "asked": self._asked(fields),
            "tools": False,
        }
        return Parsed(**(given | more))

    def _asked(self, fields: dict[str, Any]) -> int | None:
        counts = [count_of(fields, name) for name in self.caps]
        # An upstream may obey any of them.
        return max((count for count in counts if count is not None), default=None)

    def _capped(self, parsed: Parsed, cap: int, candidate: Candidate) -> dict[str, Any]:
        """The fields that cap the output, where they are to be other than the client's.

        One that is None is left out.
        """
        del candidate
        given = [name for name in self.caps if parsed.fields.get(name) is not None]
        if not given:
            return {self.caps[0]: cap} if self.caps else {}
        return {name: cap for name in given if parsed.fields[name] > cap}


def standard_tier(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """The tier that has the price of the book, of a request that names none."""
    return {"service_tier": name} if fields.get("service_tier") is None else {}


def asks_for_usage(parsed: Parsed) -> bool:
    """Whether the client itself asked for the usage of its stream."""
    return _options(parsed).get("include_usage") is True


def _options(parsed: Parsed) -> dict[str, Any]:
    return parsed.fields.get("stream_options") or {}
