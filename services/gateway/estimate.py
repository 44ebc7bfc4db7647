"""The upper bound of a request before it runs, and the estimate when no usage is reported.

The bound is provable, not likely (PRC-2): a byte-level tokenizer never makes more tokens than the
text has bytes, JSON only adds bytes, and a constant covers what a provider adds unseen.
"""

from dataclasses import dataclass
from typing import Final

from libs.catalogue import Usage
from libs.catalogue.pricing import step
from services.gateway.offers import Offer

HIDDEN_TOKENS: Final = 1_024
HIDDEN_TOKENS_WITH_TOOLS: Final = 2_048
LEAST_OUTPUT: Final = 256
"""Without a cap of the client's own, a request that can pay for this many tokens is let in."""


@dataclass(frozen=True, slots=True)
class Bound:
    """`amount` nanos cover `input_tokens` and `cap` output tokens for each of `choices`.

    The request is let in when at least `at_least` can be held.
    """

    amount: int
    at_least: int
    cap: int
    input_tokens: int
    choices: int


def text_bound(offer: Offer, *, size: int, tools: bool, asked: int | None, choices: int) -> Bound:
    """The bound of a request of `size` bytes of text that asks for `asked` output tokens."""
    hidden = HIDDEN_TOKENS_WITH_TOOLS if tools else HIDDEN_TOKENS
    tokens = min(size + hidden, offer.price.max_input)
    if asked is not None:
        cap = least = min(asked, offer.price.max_output)
    else:
        cap = min(offer.default_cap, offer.price.max_output)
        least = min(LEAST_OUTPUT, cap)
    return Bound(
        amount=_most(offer, tokens, cap * choices),
        at_least=_most(offer, tokens, least * choices),
        cap=cap,
        input_tokens=tokens,
        choices=choices,
    )


def _most(offer: Offer, input_tokens: int, output_tokens: int) -> int:
    # Cached input may be the dearer one in a price book; a hold of nothing cannot be made.
    price = offer.price
    cached = input_tokens if price.cached_input_pico > price.input_pico else 0
    charge = offer.charge(Usage(input_tokens, cached, output_tokens)).charge
    return max(charge, step(offer.unit))


def cap_within(offer: Offer, bound: Bound, held: int) -> int:
    """The largest output cap for each choice that `held` nanos cover.

    `held` is at least `bound.at_least`; all of it is the bound's own cap.
    """
    if held >= bound.amount:
        return bound.cap
    low, high = 1, bound.cap
    while low < high:
        middle = (low + high + 1) // 2
        if _most(offer, bound.input_tokens, middle * bound.choices) <= held:
            low = middle
        else:
            high = middle - 1
    return low


def estimated_usage(bound: Bound, *, cap: int, sent: int, delivered: int) -> Usage:
    """The documented estimate: a token for every 4 bytes begun, output 10 % more, within the bound.

    `sent` is the size of the request body, `delivered` of the text that came back, `cap` the
    output tokens that were reserved for each choice.
    """
    return Usage(
        input_tokens=min(-(-sent // 4), bound.input_tokens),
        cached_tokens=0,
        output_tokens=min(-(-delivered * 11 // 40), cap * bound.choices),
    )
