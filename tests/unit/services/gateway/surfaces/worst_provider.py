"""A provider that obeys the caps it is sent and counts as much as it possibly can.

A token for every byte of every text, marks around each, and the dearest kind of each token.
"""

from typing import Any

from libs.catalogue import Rates, Usage
from services.gateway.estimate import cap_within
from services.gateway.offers import Offer

TEMPLATE = 4
HIDDEN = 1024


def tokens_of(value: Any) -> int:
    """Tokens of a text or of a list of token ids."""
    return len(value.encode()) if isinstance(value, str) else len(value)


def inputs_of(value: Any) -> list[Any]:
    one = isinstance(value, str) or (value and isinstance(value[0], int))
    return [value] if one else list(value)


def texts_in(value: Any) -> int:
    """Tokens of every text in a JSON value, and the marks of its objects."""
    if isinstance(value, dict):
        return TEMPLATE + sum(texts_in(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(map(texts_in, value))
    return tokens_of(value) if isinstance(value, str) else 1


def of_chat(body: dict[str, Any], most: int) -> tuple[int, int]:
    given = min(texts_in(body["messages"]) + HIDDEN, most)
    cap = max(body.get(name) or 0 for name in ("max_tokens", "max_completion_tokens"))
    return given, cap * (body.get("n") or 1)


def of_completions(body: dict[str, Any], most: int) -> tuple[int, int]:
    prompts = inputs_of(body["prompt"])
    around = tokens_of(body["suffix"]) + TEMPLATE if body.get("suffix") else 1
    given = sum(tokens_of(prompt) + around for prompt in prompts)
    each = max(body.get("n") or 1, body.get("best_of") or 1)
    echoed = given * each if body.get("echo") else 0
    return _within(given, most, len(prompts)), body["max_tokens"] * each * len(prompts) + echoed


def of_responses(body: dict[str, Any], most: int) -> tuple[int, int]:
    given = texts_in([body["input"], body.get("instructions") or ""]) + HIDDEN
    return min(given, most), body["max_output_tokens"]


def of_embeddings(body: dict[str, Any], most: int) -> tuple[int, int]:
    given = inputs_of(body["input"])
    return _within(sum(tokens_of(one) + 2 for one in given), most, len(given)), 0


def _within(given: int, most: int, inputs: int) -> int:
    """What is hidden may stand with any of the inputs, each of which the model takes whole."""
    return min(given + HIDDEN, most * inputs)


def dearest(given: int, made: int, rates: Rates) -> Usage:
    """The costliest way to split so many tokens."""
    written = given if rates.cache_write >= max(rates.input, rates.cached_input) else 0
    cached = given if not written and rates.cached_input > rates.input else 0
    return Usage(
        input_tokens=given,
        cached_tokens=cached,
        output_tokens=made,
        cache_write_tokens=written,
        image_output_tokens=made if rates.image_output > rates.output else 0,
    )


def cap_for(sold: Offer, bound: Any, held: int) -> int:
    cap = cap_within(sold, bound, held)
    assert 0 <= cap <= bound.cap
    return cap
