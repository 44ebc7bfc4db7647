"""The demo's own arithmetic: nothing of Farebox's is used to check Farebox."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

NANO = Decimal("0.000000001")


def charge_of(line: dict[str, Any], usage: Any) -> Decimal:
    """What a chat must cost by a line of /prices and the SDK's `usage`, rounded up once."""
    details = usage.prompt_tokens_details
    cached = details.cached_tokens or 0 if details else 0
    tokens = (
        (usage.prompt_tokens - cached, line["input"]),
        (cached, line["cached_input"]),
        (usage.completion_tokens, line["output"]),
    )
    whole = sum(count * Decimal(price) for count, price in tokens) / line["per_tokens"]
    return Decimal(whole).quantize(Decimal(line["step"]), rounding=ROUND_CEILING)
