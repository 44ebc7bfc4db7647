"""Which fields of an image generation may pass, and how many tokens a picture can count (PRC-7)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from services.gateway.errors import Refusal, invalid, unsupported
from services.gateway.offers import Candidate
from services.gateway.surfaces.openai_fields import Check, check_fields, count_of, counted, one_of

HARMLESS: Final = frozenset(
    {
        "model",
        "prompt",
        "background",
        "moderation",
        "output_compression",
        "response_format",
        "style",
        "user",
        "safety_identifier",
    }
)
_MOST_IMAGES: Final = 10
_SIZE: Final = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_USUAL_PIXELS: Final = 1024 * 1024
_USUAL: Final = (None, "auto", "low", "medium", "standard")
_BETTER: Final = ("high", "hd", "xhigh", "max")
# What OpenAI documents for each size and quality; no other model's counts are known to be bounds.
_TOKENS: Final[Mapping[str, Mapping[str, tuple[int, int, int]]]] = {
    "gpt-image-1": {
        "1024x1024": (272, 1056, 4160),
        "1024x1536": (408, 1584, 6240),
        "1536x1024": (400, 1568, 6208),
    }
}
_QUALITIES: Final = ("low", "medium", "high")


def check_images(fields: Mapping[str, Any]) -> int:
    """Refuse what may escape the bound; how many pictures are asked for."""
    check_fields(fields, HARMLESS, _CHECKS)
    if not isinstance(fields.get("prompt"), str) or not fields["prompt"]:
        raise invalid("'prompt' must be a text.", "prompt")
    return count_of(fields, "n", _MOST_IMAGES) or 1


def check_piece(fields: Mapping[str, Any]) -> None:
    """Refuse what makes a picture dearer than the one price of a model sold by the piece."""
    if fields.get("quality") not in _USUAL:
        raise _dearer("quality")
    match = _SIZE.fullmatch(fields.get("size") or "")
    if match and int(match[1]) * int(match[2]) > _USUAL_PIXELS:
        raise _dearer("size")


def tokens_of_one(candidate: Candidate, fields: Mapping[str, Any]) -> int:
    """The most output tokens of one picture: by its size and quality where those are known."""
    table = _TOKENS.get(candidate.upstream_model)
    size, quality = (fields.get(name) or "auto" for name in ("size", "quality"))
    if table is None or (size != "auto" and size not in table):
        # Nobody documents it: a picture may be as large as the model makes any.
        return candidate.price.max_output
    index = _QUALITIES.index(quality) if quality in _QUALITIES else -1
    rows = table.values() if size == "auto" else [table[size]]
    return max(counts[index] for counts in rows)


def _dearer(name: str) -> Refusal:
    return unsupported(name, "This model is sold by the piece, at one price for each image.")


def _size(name: str, value: Any) -> None:
    if not isinstance(value, str) or (value != "auto" and not _SIZE.fullmatch(value)):
        raise invalid(f"'{name}' must be 'auto' or like '1024x1024'.", name)


def _whole(name: str, value: Any) -> None:
    if value is not False:
        raise unsupported(name, "Images come whole here.")


_CHECKS: Final[Mapping[str, Check]] = {
    "n": counted,
    "size": _size,
    "quality": one_of(*(word for word in _USUAL if word), *_BETTER),
    "output_format": one_of("png", "webp", "jpeg"),
    "stream": _whole,
}
