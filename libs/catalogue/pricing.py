"""From tokens to a charge: exact integers, rounded once."""

from dataclasses import dataclass
from typing import Any

from libs.catalogue.book import Catalogue, Fee, Plan, Ratio, UpstreamPrice
from libs.events.money import CREDIT, NANOS, decimal_text, minor_text

_TEN_THOUSAND = 10_000
_PER_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What an upstream reports; `input_tokens` includes the cached ones."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.cached_tokens, self.output_tokens) < 0:
            raise ValueError(f"token counts must not be negative: {self}")


def cost_pico(price: UpstreamPrice, usage: Usage) -> int:
    """What the upstream charges for `usage`, pico of the catalogue's currency, exact.

    More cached tokens than input tokens count as all input cached.
    """
    cached = min(usage.cached_tokens, usage.input_tokens)
    return (
        (usage.input_tokens - cached) * price.input_pico
        + cached * price.cached_input_pico
        + usage.output_tokens * price.output_pico
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
        "input": _per_million(price.input_pico, plan.margin_bps),
        "cached_input": _per_million(price.cached_input_pico, plan.margin_bps),
        "output": _per_million(price.output_pico, plan.margin_bps),
        "step": "1" if plan.unit == CREDIT else "0.000000001",
        "max_input": price.max_input,
        "max_output": price.max_output,
        "default_max_output": model.default_max_output,
    }


def _per_million(pico: int, margin_bps: int) -> str:
    """A customer's price per million tokens: at most ten decimals, at least two."""
    whole, fraction = divmod(pico * (_TEN_THOUSAND + margin_bps), 10**10)
    return f"{whole}.{f'{fraction:010d}'.rstrip('0').ljust(2, '0')}"
