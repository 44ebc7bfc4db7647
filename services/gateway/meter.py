"""Reading what was used out of an upstream's answer."""

import logging
from typing import Any, Final, Protocol

from libs.catalogue import Usage
from libs.runtime import metrics

log = logging.getLogger(__name__)

_MOST_TOKENS: Final = 10**9

_odd: Final = metrics.counter(
    "answers_priced_otherwise_total",
    "Answers that an upstream served in a tier, at a place or a speed that has another price.",
)


class UpstreamBrokenError(Exception):
    """The upstream's answer is not one: nothing in it can be charged."""


class Meter(Protocol):
    """Reads one answer while it passes.

    `held` is what may leave only after the settlement: the stream's last event.
    """

    usage: Usage | None
    """The last valid usage that was reported."""
    finish: str | None
    delivered: int
    """Bytes of text that came back, for the estimate."""
    held: bytes
    odd: str | None
    """How the upstream says it served the request, where that has another price than ours."""

    def whole(self, body: bytes) -> None:
        """Read a whole JSON answer.

        Raises:
            UpstreamBrokenError: it is not an answer of this surface, or tells of an error.
        """
        ...

    def feed(self, data: bytes) -> bytes:
        """Read a piece of a stream; return what may be relayed now."""
        ...

    def end(self) -> bytes:
        """The stream has ended in order; return what is still to be relayed before `held`."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        ...

    @property
    def failed(self) -> bool:
        """Whether the upstream told of an error in its stream."""
        ...


def believable(meter: Meter) -> Usage | None:
    """The usage that was reported, unless it says that the text that came back was nothing."""
    usage = meter.usage
    return None if usage and not usage.output_tokens and meter.delivered else usage


def noted(odd: str | None) -> str | None:
    """Count and log how an upstream served a request, if it has another price than ours."""
    if odd is not None:
        _odd.inc()
        log.warning("an upstream served at another price than ours: %s", odd)
    return odd


def token_usage(
    input_tokens: Any, cached_tokens: Any, output_tokens: Any, **kinds: Any
) -> Usage | None:
    """The usage of these counts; None when one of them cannot be a count.

    `kinds` are further counts by the names that Usage gives them.
    """
    counts = (input_tokens, cached_tokens, output_tokens)
    if not all(map(is_count, (*counts, *kinds.values()))) or cached_tokens > input_tokens:
        return None
    return Usage(*counts, **kinds)


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_TOKENS
