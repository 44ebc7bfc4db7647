"""The 429 of a limit: when to come again, in terms that every SDK obeys."""

from typing import Final

from libs.catalogue import Limits
from services.gateway.errors import NO_RETRY, HeaderList, Refusal
from services.gateway.limits.limiter import Admission

PATIENCE_MS: Final = 30_000
"""SDKs wait for what `retry-after` says, some without end: above this none is given."""
_SOON_MS: Final = 1_000


def limited(admission: Admission, limits: Limits) -> Refusal:
    """What a client is told whom a limit refuses."""
    if admission.refused == "concurrent":
        code, wait_ms = "concurrency_exceeded", _SOON_MS
        message = (
            f"{limits.concurrent} requests of this account are under way, as many as its plan "
            "allows at once. Nothing was charged; try again when one of them has ended."
        )
    else:
        code, wait_ms = "rate_limit_exceeded", admission.standing.wait_ms
        message = (
            f"Rate limit reached: {limits.requests} requests per {_span(limits.per_ms)} for this "
            f"account. Nothing was charged; try again in {_span(wait_ms)}."
        )
    return Refusal(429, code, message, headers=again(wait_ms))


def again(wait_ms: int) -> HeaderList:
    """Whether and when a client comes again by itself."""
    if wait_ms > PATIENCE_MS:
        return NO_RETRY
    return (
        (b"retry-after", b"%d" % -(-wait_ms // 1000)),
        (b"retry-after-ms", b"%d" % wait_ms),
    )


def _span(ms: int) -> str:
    return f"{ms / 1000:g} s"
