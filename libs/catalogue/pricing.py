"""From tokens to a charge: exact integers, rounded once."""

from dataclasses import dataclass

from libs.catalogue.book import Ratio, UpstreamPrice
from libs.events.money import CREDIT, NANOS

_TEN_THOUSAND = 10_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What an upstream reports.

    `input_tokens` are all of them: those read from a cache, written to one and of images too, and
    `output_tokens` hold those of the images made. `images` counts images sold by the piece.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0

    def __post_init__(self) -> None:
        if min([getattr(self, name) for name in self.__slots__]) < 0:
            raise ValueError(f"token counts must not be negative: {self}")

    def counts(self) -> dict[str, int]:
        """The counts for the record: the three of every request, and what else there was."""
        always = ("input_tokens", "cached_tokens", "output_tokens")
        return {
            name: count
            for name in self.__slots__
            if (count := getattr(self, name)) or name in always
        }


def cost_pico(price: UpstreamPrice, usage: Usage) -> int:
    """What the upstream charges for `usage`, pico of the catalogue's currency, exact.

    Kinds of input that come to more than the input itself are cut off in the order they are
    named: more cached tokens than input tokens count as all input cached.
    """
    rates = price.rates_at(usage.input_tokens)
    cost, rest = 0, usage.input_tokens
    for tokens, rate in (
        (usage.cached_tokens, rates.cached_input),
        (usage.cache_write_tokens, rates.cache_write),
        (usage.cache_write_1h_tokens, rates.cache_write_1h),
        (usage.image_input_tokens, rates.image_input),
    ):
        if tokens:
            cost += min(tokens, rest) * rate
            rest -= min(tokens, rest)
    images = min(usage.image_output_tokens, usage.output_tokens)
    cost += rest * rates.input + (usage.output_tokens - images) * rates.output
    return cost + images * rates.image_output + usage.images * rates.image


def most_pico(
    price: UpstreamPrice,
    input_tokens: int,
    output_tokens: int,
    *,
    images: int = 0,
    hour_cache: bool = False,
) -> int:
    """The most that so many tokens can cost, of whatever kinds they turn out to be (PRC-2).

    `hour_cache`: the request may write to a cache for an hour.
    """
    # A request may stay below the tier its bound reaches, and a tier may be the cheaper one.
    reached = [price.rates, *(rates for start, rates in price.tiers if input_tokens > start)]
    return max(
        input_tokens * rates.dearest_input(hour_cache=hour_cache)
        + output_tokens * rates.dearest_output
        + images * rates.image
        for rates in reached
    )


def step(unit: str) -> int:
    """The smallest charge of a unit in nanos: a whole credit, or one nano of money."""
    return NANOS if unit == CREDIT else 1


def charge_nanos(cost_pico: int, margin_bps: int, unit: str, conversion: Ratio = (1, 1)) -> int:
    """The customer's charge for an upstream cost, rounded up once to the unit's step."""
    if cost_pico < 0:
        raise ValueError(f"a cost is not negative: {cost_pico}")
    num, den = conversion
    dividend = cost_pico * (_TEN_THOUSAND + margin_bps) * num
    divisor = 10_000_000 * den * step(unit)
    return step(unit) * -(-dividend // divisor)


def margin_nanos(charge: int, cost_pico: int, conversion: Ratio = (1, 1)) -> int:
    """Charge less converted cost, nanos; a part of a nano of cost counts as a whole one."""
    num, den = conversion
    return charge - -(-cost_pico * num // (1000 * den))
