"""How an account stands to its rate, told in the dialects of the providers and in IETF's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from services.gateway.errors import HeaderList
from services.gateway.limits.rate import Standing

_HOUR: Final = 3_600_000
_MINUTE: Final = 60_000


def openai_rate_headers(standing: Standing, _now: Callable[[], datetime]) -> HeaderList:
    """As OpenAI's API: the reset is a span, like `6m0s` or `12ms`."""
    return (
        (b"x-ratelimit-limit-requests", b"%d" % standing.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % standing.remaining),
        (b"x-ratelimit-reset-requests", _span(standing.reset_ms)),
    )


def anthropic_rate_headers(standing: Standing, now: Callable[[], datetime]) -> HeaderList:
    """As Anthropic's API: the reset is a moment (RFC 3339)."""
    reset = now().astimezone(UTC) + timedelta(milliseconds=standing.reset_ms)
    if reset.microsecond:
        reset = reset.replace(microsecond=0) + timedelta(seconds=1)
    return (
        (b"anthropic-ratelimit-requests-limit", b"%d" % standing.limit),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % standing.remaining),
        (b"anthropic-ratelimit-requests-reset", b"%s" % reset.strftime(_RFC_3339).encode()),
    )


_RFC_3339: Final = "%Y-%m-%dT%H:%M:%SZ"


def ietf_rate_headers(standing: Standing, _now: Callable[[], datetime]) -> HeaderList:
    """As draft-ietf-httpapi-ratelimit-headers: whole seconds until the quota is whole again."""
    window, reset = -(-standing.per_ms // 1000), -(-standing.reset_ms // 1000)
    return (
        (b"ratelimit-policy", b'"requests";q=%d;w=%d' % (standing.limit, window)),
        (b"ratelimit", b'"requests";r=%d;t=%d' % (standing.remaining, reset)),
    )


def _span(ms: int) -> bytes:
    if ms < 1000:
        return b"%dms" % ms if ms else b"0s"
    hours, rest = divmod(ms, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    text = f"{seconds}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return (f"{hours}h{text}" if hours else text).encode()
