"""The headers of Anthropic's API that pass, and which betas they may ask for (PRC-7)."""

from typing import Final

from services.gateway.errors import unsupported
from services.gateway.headers import chosen
from services.gateway.keys import Headers

_PASSES: Final = frozenset({b"anthropic-version", b"anthropic-beta"})
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


def forwarded(headers: Headers) -> dict[str, str]:
    """The client's headers that go on; raises Refusal for a beta that is not sold, by its name."""
    passing = chosen(headers, _PASSES)
    for name in passing.get(_BETA, "").split(","):
        if name.strip() and name.strip() not in SOLD_BETAS:
            message = f"'{name.strip()[:64]}' may change the price, or escape the bound."
            raise unsupported(_BETA, message)
    return passing
