"""Offers for tests."""

from libs.catalogue import Rates, Timeouts, Upstream, UpstreamPrice
from services.gateway.offers import Candidate, Offer


def offer(unit: str = "USD", margin_bps: int = 1000, default_cap: int = 4096, **price) -> Offer:
    given = {
        "input_pico": 250_000,
        "cached_input_pico": 25_000,
        "output_pico": 2_000_000,
        "max_input": 400_000,
        "max_output": 32_000,
    } | price
    rates = Rates.plain(given["input_pico"], given["output_pico"], given["cached_input_pico"])
    found = UpstreamPrice(rates, given["max_input"], given["max_output"])
    timeouts = Timeouts(5.0, 120.0, 120.0)
    upstream = Upstream("north", "openai", "http://n", "N", timeouts, {"swift-1": found})
    candidate = Candidate(upstream, "swift-1", found)
    return Offer("swift-1", unit, margin_bps, (1, 1), (candidate,), default_cap)
