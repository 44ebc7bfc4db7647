"""Embeddings: a few numbers for each input, made from its bytes."""

import base64
import hashlib
import json
import struct
from typing import Any

from simulators.provider.answer import count_ids
from simulators.provider.script import Script

_DIMENSIONS = 8


def compose_embeddings(request: dict[str, Any], script: Script) -> dict[str, Any]:
    """The whole answer, with the usage that the script wants."""
    given = request["input"]
    one = isinstance(given, str) or (given and isinstance(given[0], int))
    inputs = [given] if one else given
    size = request.get("dimensions") or _DIMENSIONS
    encoded = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(value, size, encoded=encoded)}
        for index, value in enumerate(inputs)
    ]
    tokens = script.prompt_tokens
    if tokens is None:
        tokens = sum(count_ids(value) for value in inputs)
    body = {"object": "list", "data": data, "model": request.get("model")}
    usage: dict[str, int] | None = {"prompt_tokens": tokens, "total_tokens": tokens}
    if script.usage == "zero":
        usage = {"prompt_tokens": 0, "total_tokens": 0}
    if script.usage == "null":
        usage = None
    return body if script.usage == "none" else body | {"usage": usage}


def _vector(value: Any, size: int, *, encoded: bool) -> list[float] | str:
    digest = hashlib.sha256(json.dumps(value).encode()).digest()
    numbers = [digest[index % len(digest)] / 256 for index in range(size)]
    return base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode() if encoded else numbers
