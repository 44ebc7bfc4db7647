"""POST /v1/embeddings: texts or token ids in, vectors out; only the input is paid for."""

from typing import Final

from services.gateway.estimate import Bound, input_bound
from services.gateway.meter import Meter
from services.gateway.offers import Offer
from services.gateway.surfaces.openai_dialect import OpenAIDialect
from services.gateway.surfaces.openai_fields import (
    check_fields,
    default_tier,
    json_object,
    model_of,
    texts_or_ids,
)
from services.gateway.surfaces.openai_usage import embeddings_usage
from services.gateway.surfaces.protocol import Parsed
from services.gateway.surfaces.whole_meter import WholeMeter

HARMLESS: Final = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


class OpenAIEmbeddings(OpenAIDialect):
    """Embeddings of one or more inputs, each as long as the model takes."""

    name = "openai_embeddings"
    path = "/v1/embeddings"
    upstream_path = "/embeddings"
    caps = ()

    def parse(self, raw: bytes) -> Parsed:
        fields = json_object(raw)
        model_of(fields)
        check_fields(fields, HARMLESS, {"service_tier": default_tier})
        return self._parsed(raw, fields, inputs=texts_or_ids("input", fields.get("input")))

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        return input_bound(offer, size=parsed.size, inputs=parsed.inputs)

    def meter(self, parsed: Parsed) -> Meter:
        del parsed
        return WholeMeter(embeddings_usage)
