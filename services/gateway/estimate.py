"""The upper bound of a request before it runs, and the estimate when no usage is reported.

The bound is provable, not likely (PRC-2): a byte-level tokenizer never makes more tokens than the
text has bytes, JSON only adds bytes, and a constant covers what a provider adds unseen.
"""

from dataclasses import dataclass, replace
from typing import Final

from libs.catalogue import Usage
from services.gateway.errors import invalid
from services.gateway.offers import Offer

HIDDEN_TOKENS: Final = 1_024
HIDDEN_TOKENS_WITH_TOOLS: Final = 2_048
_CAP_FIELD: Final = 48
"""Bytes of a field that caps the output, such as `,"max_completion_tokens": 100000`."""
LEAST_OUTPUT: Final = 256
"""Without a cap of the client's own, a request that can pay for this many tokens is let in."""


@dataclass(frozen=True, slots=True)
class Bound:
    """`amount` nanos cover `input_tokens`, `cap` output tokens for each of `choices`, and `beside`
    output tokens that no cap holds back.

    The request is let in when at least `at_least` can be held. A `cap` of 0 is no cap: what comes
    back is bounded without one, and `amount` is all there is.
    """

    amount: int
    at_least: int
    cap: int
    input_tokens: int
    choices: int
    beside: int = 0
    images: int = 0
    """Pictures that may be made; their tokens are those of `beside`."""
    by_piece: bool = False
    """Whether pictures are paid for by their number: then counting them is no estimate."""
    hour_cache: bool = False
    """Whether the request may write to a cache for an hour, at the price of that."""


def text_bound(
    offer: Offer,
    *,
    size: int,
    tools: bool,
    asked: int | None,
    choices: int,
    inputs: int = 1,
    beside: int = 0,
    hour_cache: bool = False,
) -> Bound:
    """The bound of a request of `size` bytes of text that asks for `asked` output tokens.

    The text may be that of several `inputs`: a model's largest input holds for each of them.
    Raises a Refusal for a model that gives no output, such as one of embeddings.
    """
    if not all(candidate.price.max_output for candidate in offer.candidates):
        # A cap of 0 would be none to an upstream, and there may be no price for what comes.
        raise invalid(f"'{offer.name}' gives no text.", "model")
    hidden = HIDDEN_TOKENS_WITH_TOOLS if tools else HIDDEN_TOKENS
    tokens = min(size + hidden, offer.max_input * inputs)
    if asked is not None:
        cap = least = min(asked, offer.max_output)
    else:
        cap = min(offer.default_cap, offer.max_output)
        least = min(LEAST_OUTPUT, cap)
    return Bound(
        amount=offer.most(tokens, cap * choices + beside, hour_cache=hour_cache),
        at_least=offer.most(tokens, least * choices + beside, hour_cache=hour_cache),
        cap=cap,
        input_tokens=tokens,
        choices=choices,
        beside=beside,
        hour_cache=hour_cache,
    )


def input_bound(offer: Offer, *, size: int, inputs: int) -> Bound:
    """The bound of a request whose answer costs nothing, whatever its length."""
    tokens = min(size + HIDDEN_TOKENS, offer.max_input * inputs)
    amount = offer.most(tokens, 0)
    return Bound(amount=amount, at_least=amount, cap=0, input_tokens=tokens, choices=0)


def image_bound(offer: Offer, *, size: int, images: int, each: int, by_piece: bool) -> Bound:
    """The bound of `images` pictures of `each` tokens, made from `size` bytes of text."""
    tokens = min(size + HIDDEN_TOKENS, offer.max_input)
    amount = offer.most(tokens, each * images, images=images)
    return Bound(
        amount=amount,
        at_least=amount,
        cap=0,
        input_tokens=tokens,
        choices=0,
        beside=each * images,
        images=images,
        by_piece=by_piece,
    )


def cap_within(offer: Offer, bound: Bound, held: int) -> int:
    """The largest output cap for each choice that `held` nanos cover.

    `held` is at least `bound.at_least`; all of it is the bound's own cap.
    """
    if held >= bound.amount:
        return bound.cap
    low, high = 1, bound.cap
    while low < high:
        middle = (low + high + 1) // 2
        output = middle * bound.choices + bound.beside
        if offer.most(bound.input_tokens, output, hour_cache=bound.hour_cache) <= held:
            low = middle
        else:
            high = middle - 1
    return low


def affordable_cap(offer: Offer, bound: Bound, available: int) -> int:
    """A cap for each choice with which the same request fits into `available` nanos; 0: none.

    It is the largest but for the bytes that naming it may add to the request.
    """
    tokens = min(bound.input_tokens + _CAP_FIELD, max(offer.max_input, bound.input_tokens))
    named = replace(bound, input_tokens=tokens, amount=available + 1)
    least = offer.most(tokens, bound.choices + bound.beside, hour_cache=bound.hour_cache)
    return cap_within(offer, named, available) if least <= available else 0


def estimated_usage(bound: Bound, *, cap: int, sent: int, delivered: int) -> Usage:
    """The documented estimate: a token for every 4 bytes begun, output 10 % more, within the bound.

    `sent` is the size of the request body, `delivered` of the text that came back, `cap` the
    output tokens that were reserved for each choice. Of pictures, `delivered` is their number,
    and each counts all the tokens it can.
    """
    given = min(-(-sent // 4), bound.input_tokens)
    if bound.images:
        pictures = min(delivered, bound.images)
        made = bound.beside // bound.images * pictures
        return Usage(given, 0, made, image_output_tokens=made, images=pictures)
    return Usage(
        input_tokens=given,
        cached_tokens=0,
        output_tokens=min(-(-delivered * 11 // 40), cap * bound.choices + bound.beside),
    )
