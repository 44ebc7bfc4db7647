"""POST /v1/images/generations: a text in, pictures out, paid by their tokens or by the piece."""

from typing import Any

from libs.catalogue import Usage
from services.gateway.estimate import Bound, image_bound
from services.gateway.meter import Meter, token_usage
from services.gateway.offers import Offer
from services.gateway.surfaces.images_fields import check_images, check_piece, tokens_of_one
from services.gateway.surfaces.openai_dialect import OpenAIDialect
from services.gateway.surfaces.openai_fields import json_object, model_of
from services.gateway.surfaces.openai_usage import detail
from services.gateway.surfaces.protocol import Parsed
from services.gateway.surfaces.whole_meter import WholeMeter, answer_of


class OpenAIImages(OpenAIDialect):
    """Generated images, whole."""

    name = "openai_images"
    path = "/v1/images/generations"
    upstream_path = "/images/generations"
    caps = ()

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        return self._parsed(raw, fields, choices=check_images(fields))

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        rates = [candidate.charged.rates for candidate in offer.candidates]
        if any(rate.image for rate in rates):
            check_piece(parsed.fields)
        by_piece = not any(rate.input or rate.dearest_output for rate in rates)
        each = max(tokens_of_one(candidate, parsed.fields) for candidate in offer.candidates)
        images = parsed.choices
        return image_bound(offer, size=parsed.size, images=images, each=each, by_piece=by_piece)

    def meter(self, parsed: Parsed) -> Meter:
        del parsed
        return ImagesMeter()


class ImagesMeter(WholeMeter):
    """Meters one answer; what was delivered is the number of its pictures."""

    def __init__(self) -> None:
        super().__init__(images_usage)

    def whole(self, body: bytes) -> None:
        answer = answer_of(body)
        self.delivered = pictures_in(answer)
        self.usage = images_usage(answer)


def images_usage(answer: dict[str, Any]) -> Usage | None:
    """The usage that was reported; of output whose kind is not told all counts as pictures."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    made, details = usage.get("output_tokens"), usage.get("output_tokens_details")
    pictures = details.get("image_tokens") if isinstance(details, dict) else None
    return token_usage(
        usage.get("input_tokens"),
        detail(usage, "input_tokens", "cached_tokens"),
        made,
        image_input_tokens=detail(usage, "input_tokens", "image_tokens"),
        image_output_tokens=made if pictures is None else pictures,
        images=pictures_in(answer),
    )


def pictures_in(answer: dict[str, Any]) -> int:
    data = answer.get("data")
    return len(data) if isinstance(data, list) else 0
