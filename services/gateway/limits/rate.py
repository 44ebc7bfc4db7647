"""The arithmetic of a rate (GCRA as a leaking debt), in whole numbers, so that nothing is lost.

A request adds a debt of `per_ms` ticks, and `requests` ticks a millisecond are forgiven. The debt
never exceeds `requests` requests: as many may come at once, then one each `per_ms / requests`.
admission.lua says the same on Redis.
"""

from typing import NamedTuple

from libs.catalogue import Limits


class Standing(NamedTuple):
    """How an account stands to its rate.

    `wait_ms`: until the next request is allowed, 0 when it was; `reset_ms`: until as many requests
    are free as ever.
    """

    limit: int
    per_ms: int
    remaining: int
    reset_ms: int
    wait_ms: int


def forgiven(limits: Limits, debt: int, elapsed_ms: int) -> int:
    """What is left of a debt; a clock that went back forgives nothing."""
    return max(0, debt - max(0, elapsed_ms) * limits.requests)


def fits(limits: Limits, debt: int) -> bool:
    """Whether one more request may come."""
    return debt <= (limits.requests - 1) * limits.per_ms


def standing(limits: Limits, debt: int, *, allowed: bool) -> Standing:
    """What a debt means, after the request that was `allowed` or not."""
    requests, per_ms = limits.requests, limits.per_ms
    most = requests * per_ms
    return Standing(
        requests,
        per_ms,
        (most - debt) // per_ms,
        -(-debt // requests),
        0 if allowed else max(0, -((most - per_ms - debt) // requests)),
    )
