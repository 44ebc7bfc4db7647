"""Images: one tiny picture again and again, with the tokens that its size and quality count.

A model whose name begins with `piece` is one that is sold by the piece: it reports no usage.
"""

from typing import Any

from simulators.provider.answer import count_ids
from simulators.provider.script import Script

# One white pixel.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
_TOKENS = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}


def compose_images(request: dict[str, Any], script: Script) -> dict[str, Any]:
    """The whole answer; `auto` is the dearest there is, and `words` the tokens of one picture."""
    count = request.get("n") or 1
    quality, size = (request.get(name) or "auto" for name in ("quality", "size"))
    quality, size = _or(quality, "high"), _or(size, "1024x1536")
    body: dict[str, Any] = {
        "created": 1_790_000_000,
        "data": [{"b64_json": _PNG} for _ in range(count)],
        "size": size,
        "quality": quality,
    }
    if str(request.get("model")).startswith("piece") or script.usage == "none":
        return body
    each = script.words or _TOKENS[quality][size]
    return body | {"usage": _usage(count_ids(request["prompt"]), each * count, script)}


def _or(given: str, dearest: str) -> str:
    return dearest if given == "auto" else given


def _usage(given: int, made: int, script: Script) -> dict[str, Any] | None:
    if script.usage == "null":
        return None
    if script.usage == "zero":
        given = made = 0
    if script.prompt_tokens is not None:
        given = script.prompt_tokens
    return {
        "input_tokens": given,
        "input_tokens_details": {"text_tokens": given, "image_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": given + made,
    }
