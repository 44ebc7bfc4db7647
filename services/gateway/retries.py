"""Requests that an SDK sent again by itself, as it counts them in a header of its own.

Without an Idempotency-Key such a request is a new one. Where the client gave the first one up while
its answer was still read, it pays for both: whoever operates the gateway can see that coming.
"""

from typing import Final

from libs.runtime import metrics
from services.gateway.headers import header
from services.gateway.idempotency.naming import HEADER as KEY_HEADER
from services.gateway.keys import Headers

HEADER: Final = b"x-stainless-retry-count"
"""Of OpenAI's and Anthropic's SDKs: how many tries there were before this one."""


def count_retry(headers: Headers, surface: str) -> None:
    """Count a request that is not the first try. What was sent becomes no label."""
    before = header(headers, HEADER)
    if before is None or not before.isdigit() or not before.strip(b"0"):
        return
    keyed = "no" if header(headers, KEY_HEADER) is None else "yes"
    metrics.counter(
        "client_retries_total",
        "Paid requests that an SDK sent again by itself, with or without an Idempotency-Key.",
        surface=surface,
        idempotency_key=keyed,
    ).inc()
