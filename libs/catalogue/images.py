"""How many tokens a provider counts for an image of a given size.

Each rule is an upper bound of what its provider documents: no scaling down is assumed beyond what
`image_tokens_max` says, and scaling up is.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil
from typing import Final

Size = tuple[int, int]
"""Width and height in pixels."""


def _patches(factor: str) -> Callable[[int, int], int]:
    times = Fraction(factor)
    return lambda width, height: ceil(-(-width // 32) * -(-height // 32) * times)


def _tiles(base: int, each: int) -> Callable[[int, int], int]:
    def count(width: int, height: int) -> int:
        # The provider may scale a small image up until its shorter side has 768 pixels.
        short = min(width, height)
        times = max(Fraction(1), Fraction(768, short))
        return base + each * ceil(width * times / 512) * ceil(height * times / 512)

    return count


def _area(width: int, height: int) -> int:
    return -(-width * height // 750)


_RULES: Final[Mapping[str, Callable[[int, int], int]]] = {
    "patches": _patches("1.2"),
    "patches-mini": _patches("1.62"),
    "patches-nano": _patches("2.46"),
    "tiles": _tiles(85, 170),
    "tiles-mini": _tiles(2833, 5667),
    "area": _area,
}
IMAGE_RULES: Final = tuple(_RULES)


def image_tokens(size: Size | None, rule: str | None, most: int) -> int:
    """The most tokens of one image; `most` where its size or the rule is not known."""
    if size is None or rule is None or min(size) < 1:
        return most
    return min(most, _RULES[rule](*size))
