"""From tokens to a charge: exact integers, rounded once."""

from dataclasses import dataclass
from typing import Any

from libs.catalogue.book import Catalogue, Fee, Plan, Ratio, UpstreamPrice
from libs.events.money import CREDIT, NANOS, decimal_text, minor_text

_TEN_THOUSAND = 10_000
_PER_TOKENS = 1_000_000


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
        if min(self.input_tokens, self.cached_tokens, self.output_tokens) < 0 or self._special < 0:
            raise ValueError(f"token counts must not be negative: {self}")

    @property
    def _special(self) -> int:
        return min(
            self.cache_write_tokens,
            self.cache_write_1h_tokens,
            self.image_input_tokens,
            self.image_output_tokens,
            self.images,
        )

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


def price_lines(catalogue: Catalogue, plan: Plan) -> list[dict[str, Any]]:
    """The prices of all that a plan sells, in its unit, ready for JSON.

    Token prices hold the margin and are exact: tokens x price, summed, rounded up once to `step`
    is the charge to the nano.
    """
    lines: list[dict[str, Any]] = []
    for name in sorted(plan.sells):
        if name in catalogue.operations:
            lines.append(_operation_line(catalogue, plan, name))
        else:
            lines.append(_model_line(catalogue, plan, name))
    return lines


def _operation_line(catalogue: Catalogue, plan: Plan, name: str) -> dict[str, Any]:
    operation = catalogue.operations[name]
    return {
        "name": name,
        "kind": "operation",
        "rule": "fixed",
        "unit": plan.unit,
        "price": decimal_text(operation.price[plan.unit], plan.unit),
        "method": operation.method,
        "path": operation.path,
        "fee": None if operation.fee is None else _fee_line(operation.fee),
    }


def _fee_line(fee: Fee) -> dict[str, str]:
    """What each call costs beside its price, in the fee's own currency."""
    amount = minor_text(fee.minor, fee.currency)
    return {"amount": amount, "currency": fee.currency, "schedule": fee.schedule}


def _model_line(catalogue: Catalogue, plan: Plan, name: str) -> dict[str, Any]:
    model = catalogue.models[name]
    route = model.routes[0]
    price = catalogue.upstreams[route.upstream].prices[route.model]
    return {
        "name": name,
        "kind": "model",
        "rule": model.rule,
        "unit": plan.unit,
        "per_tokens": _PER_TOKENS,
        "input": _per_million(price.rates.input, plan.margin_bps),
        "cached_input": _per_million(price.rates.cached_input, plan.margin_bps),
        "output": _per_million(price.rates.output, plan.margin_bps),
        "step": "1" if plan.unit == CREDIT else "0.000000001",
        "max_input": price.max_input,
        "max_output": price.max_output,
        "default_max_output": model.default_max_output,
    }


def _per_million(pico: int, margin_bps: int) -> str:
    """A customer's price per million tokens: at most ten decimals, at least two."""
    whole, fraction = divmod(pico * (_TEN_THOUSAND + margin_bps), 10**10)
    return f"{whole}.{f'{fraction:010d}'.rstrip('0').ljust(2, '0')}"
