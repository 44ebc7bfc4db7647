"""Offers for tests."""

from libs.catalogue import Timeouts, Upstream, UpstreamPrice
from services.gateway.offers import Offer


def offer(unit: str = "USD", margin_bps: int = 1000, default_cap: int = 4096, **price) -> Offer:
    given = {
        "input_pico": 250_000,
        "cached_input_pico": 25_000,
        "output_pico": 2_000_000,
        "max_input": 400_000,
        "max_output": 32_000,
    } | price
    found = UpstreamPrice(**given)
    timeouts = Timeouts(5.0, 120.0, 120.0)
    upstream = Upstream("north", "openai", "http://n", "N", timeouts, {"swift-1": found})
    return Offer("swift-1", unit, margin_bps, (1, 1), upstream, "swift-1", found, default_cap)
