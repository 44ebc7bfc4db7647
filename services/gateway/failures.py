"""What an upstream's failure is called, what the client is told of it, and what it asks of us."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from services.gateway.errors import NO_RETRY, HeaderList, Refusal, upstream_failed

OURS: Final = frozenset({401, 402, 403, 407})
"""These speak of our account with the provider and may quote our key: not for the client."""

_LIMITED: Final = 429
_OVERLOADED: Final = frozenset({503, 529})
_SDK_WAITS_S: Final = 30
"""The longest wait that every SDK keeps to; some block a caller for any time they are told."""


def rejects(status: int) -> bool:
    """Whether the upstream refuses what the client asked: no other one would take it either."""
    return 400 <= status < 500 and status not in OURS and status not in {408, _LIMITED}


def failure_of(response: aiohttp.ClientResponse) -> Refusal:
    """The failure that an answer's status tells; it is neither 2xx nor a rejection."""
    status = response.status
    if status in OURS:
        return upstream_failed(502, "upstream_refused", "The provider refuses this gateway.")
    if status == _LIMITED:
        # In our own words: the provider's describe our account with it, not the client's.
        message = "The provider is called too often now."
        return upstream_failed(429, "upstream_rate_limited", message, _again(response))
    if status in _OVERLOADED:
        message = "The provider is overloaded."
        return upstream_failed(503, "upstream_overloaded", message, _again(response))
    if status in {408, 504}:
        return upstream_timeout()
    return upstream_failed(502, "upstream_error", "The provider failed.")


def pause_of(response: aiohttp.ClientResponse) -> float | None:
    """How many seconds the upstream asks to be left alone; None: it does not say."""
    if response.status == _LIMITED or response.status in _OVERLOADED:
        return asked_pause(response.headers)
    return None


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds of ``retry-after-ms`` or ``retry-after``, which may be a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) <= 12:
            return int(text) / unit
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _again(response: aiohttp.ClientResponse) -> HeaderList:
    pause_s = asked_pause(response.headers)
    if pause_s is None:
        return ()
    if pause_s > _SDK_WAITS_S:
        return NO_RETRY
    return (
        (b"retry-after", b"%d" % -(-pause_s // 1)),
        (b"retry-after-ms", b"%d" % (pause_s * 1000)),
    )


def upstream_timeout() -> Refusal:
    return upstream_failed(504, "upstream_timeout", "The provider did not answer in time.")


def unreachable() -> Refusal:
    return upstream_failed(502, "upstream_unreachable", "The provider cannot be reached.")


def answer_too_large() -> Refusal:
    return upstream_failed(502, "upstream_invalid", "The provider's answer is too large.")


def unreadable() -> Refusal:
    return upstream_failed(502, "upstream_invalid", "The provider's answer cannot be read.")


def broken_off() -> Refusal:
    return upstream_failed(502, "upstream_interrupted", "The provider broke off its answer.")


def error_in_stream() -> Refusal:
    return upstream_failed(502, "upstream_error", "The provider failed.")
