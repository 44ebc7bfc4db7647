"""The headers of Anthropic's API that pass, and which betas they may ask for (PRC-7)."""

from collections.abc import Mapping
from typing import Final

from services.gateway.errors import unsupported

PASSES: Final = frozenset({b"anthropic-version", b"anthropic-beta"})
_BETA: Final = "anthropic-beta"

SOLD_BETAS: Final = frozenset(
    {
        "extended-cache-ttl-2025-04-11",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "model-context-window-exceeded-2025-08-26",
        "prompt-caching-2024-07-31",
        "structured-outputs-2025-11-13",
        "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19",
    }
)
"""Betas that cannot change the price in a way that the bound does not cover."""


def check_betas(headers: Mapping[str, str]) -> None:
    """Refuse a beta that is not sold; raises Refusal with its name."""
    for name in headers.get(_BETA, "").split(","):
        if name.strip() and name.strip() not in SOLD_BETAS:
            message = f"'{name.strip()[:64]}' may change the price, or escape the bound."
            raise unsupported(_BETA, message)
