"""The prices of all that a plan sells, as its customers are told them (PRC-9)."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any, Final

from libs.catalogue.book import (
    KINDS,
    Catalogue,
    Fee,
    Model,
    Plan,
    Rates,
    Ratio,
    Tariff,
    UpstreamPrice,
)
from libs.events.money import CREDIT, decimal_text, minor_text

_MILLION: Final = 10**6
_PICO_A_MILLION: Final = 10**6
_PICO: Final = 10**12


def price_lines(catalogue: Catalogue, plan: Plan) -> list[dict[str, Any]]:
    """The prices of all that a plan sells, in its unit, ready for JSON.

    A model's prices hold the margin and are exact: tokens x price / `per_tokens` and images x
    `image` / `per_images`, summed and rounded up once to `step`, are the charge to the nano.
    """
    lines: list[dict[str, Any]] = []
    for name in sorted(plan.sells):
        if name in catalogue.operations:
            lines.append(_operation_line(catalogue, plan, name))
        else:
            lines.append(_model_line(catalogue, plan, catalogue.models[name]))
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


@dataclass(frozen=True, slots=True)
class _Scale:
    """From pico to a customer's price: times `num` / `den`; `per` tokens make it terminate."""

    num: int
    den: int
    per: int

    @classmethod
    def of(cls, margin_bps: int, ratio: Ratio) -> "_Scale":
        num, den = (10_000 + margin_bps) * ratio[0], 10_000 * ratio[1]
        common = gcd(num, den)
        num, den = num // common, den // common
        odd = den
        for prime in (2, 5):
            while odd % prime == 0:
                odd //= prime
        # A third has no end as a decimal: three million tokens have an exact price.
        return cls(num, den // odd, odd)

    def per_million(self, pico: int) -> str:
        return exact_text(pico * self.num, self.den * _PICO_A_MILLION)

    def for_one(self, pico: int) -> str:
        return exact_text(pico * self.num, self.den * _PICO)


def exact_text(numerator: int, denominator: int) -> str:
    """A fraction as decimal text of at least two places; its denominator has primes 2 and 5."""
    whole, rest = divmod(numerator, denominator)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, denominator)
        digits += str(digit)
    return f"{whole}.{digits.ljust(2, '0')}"


def _model_line(catalogue: Catalogue, plan: Plan, model: Model) -> dict[str, Any]:
    own = model.retail[plan.unit] if model.rule == "retail" else None
    same = own is not None or plan.unit == catalogue.currency
    ratio = (1, 1) if same else catalogue.conversion[plan.unit]
    scale = _Scale.of(0 if own else plan.margin_bps, ratio)
    first, *others = _routes(catalogue, model)
    prices = _prices(own or first[1], scale)
    return {
        "name": model.name,
        "kind": "model",
        "rule": model.rule,
        "unit": plan.unit,
        "per_tokens": _MILLION * scale.per,
        "per_images": scale.per,
        "step": "1" if plan.unit == CREDIT else "0.000000001",
        **prices,
        **_limits(first[1]),
        "default_max_output": model.default_max_output,
        "other_routes": [
            {"route": name} | _prices(own or price, scale) | _limits(price)
            for name, price in others
        ],
    }


def _routes(catalogue: Catalogue, model: Model) -> Iterator[tuple[str, UpstreamPrice]]:
    for route in model.routes:
        yield (
            f"{route.upstream}/{route.model}",
            catalogue.upstreams[route.upstream].prices[route.model],
        )


def _prices(price: UpstreamPrice | Tariff, scale: _Scale) -> dict[str, Any]:
    return {
        **_rates(price.rates, scale),
        "image": scale.for_one(price.rates.image),
        "tiers": [{"above": start} | _rates(rates, scale) for start, rates in price.tiers],
    }


def _rates(rates: Rates, scale: _Scale) -> dict[str, str]:
    return {kind: scale.per_million(getattr(rates, kind)) for kind in KINDS}


def _limits(price: UpstreamPrice) -> dict[str, int | None]:
    return {
        "max_input": price.max_input,
        "max_output": price.max_output,
        "image_tokens_max": price.image_tokens_max,
    }
