"""What the pinned wheel `genai-prices` says, as rows of the price book; never asked at run time.

It matches names by pattern and falls back to the standard price when it does not know an option.
Here only names that it lists literally count, and a price that is made of something we cannot
bound before a request runs is refused.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from libs.catalogue.price_book import Row

NAME: Final = "genai-prices"
_UNITS: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_image_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_image_mtok": "image_input",
    "output_mtok": "output",
    "output_image_mtok": "image_output",
}
_NOT_SOLD: Final = {
    "input_audio_mtok": "sound in",
    "output_audio_mtok": "sound out",
    "cache_audio_read_mtok": "cached sound",
    "input_video_mtok": "video in",
    "output_video_mtok": "video out",
    "web_searches_kcount": "web searches",
    "storage_searches_kcount": "file searches",
}
"""What the surfaces refuse to sell, so that its price does not matter."""
_SEARCHING: Final = re.compile(r"\b(?:search|deep-research)\b")
"""Names of models that search whether or not they are asked to."""
_ALWAYS_SEARCHING: Final = "perplexity"

Rates = dict[tuple[int, str], int]
"""Pico per token by (tier start, unit)."""


class SourceMissingError(Exception):
    """The wheel is not installed."""


class NotPricedError(Exception):
    """The source has no price for this that could be charged exactly; the text says why."""


@dataclass(frozen=True)
class Priced:
    """A model's prices by the day from which they hold ("" is always), and what is not sold."""

    days: dict[str, Rates]
    context: int | None
    notes: tuple[str, ...]


class Source:
    """The providers of the wheel, or of what a test puts in their place."""

    def __init__(self, providers: Sequence[Any], version: str) -> None:
        self.version = version
        self._providers = {provider.id: provider for provider in providers}

    @classmethod
    def installed(cls) -> "Source":
        try:
            return cls(import_module("genai_prices.data").providers, version(NAME))
        except (ImportError, PackageNotFoundError) as error:
            raise SourceMissingError(
                f"{NAME} is not installed; install it with pip install 'farebox[prices]'"
            ) from error

    def names(self, provider: str) -> list[str]:
        """Every name of a provider's models that is listed literally."""
        return sorted({name for model in self._models(provider) for name in _exact(model.match)})

    def priced(self, provider: str, name: str) -> Priced:
        """The prices of a model by its exact name; raises NotPricedError."""
        model = self._model(provider, name)
        if _SEARCHING.search(name) or (provider == _ALWAYS_SEARCHING and _has_searches(model)):
            text = "it searches by itself, at a fee for each call that its tokens do not tell"
            raise NotPricedError(f"{text}; sell it by rule retail, at prices that hold the fee")
        days = {day: _rates(price) for day, price in _days(model)}
        return Priced(_changes(days), model.context_window, tuple(_notes(model)))

    def rows(self, provider: str, name: str, day: str, rates: Rates) -> Iterator[Row]:
        for (start, unit), pico in rates.items():
            yield Row(provider, name, day, start, unit, pico, NAME, self.version)

    def _models(self, provider: str) -> Sequence[Any]:
        found = self._providers.get(provider)
        if found is None:
            known = ", ".join(sorted(self._providers))
            raise NotPricedError(f'{NAME} knows no provider "{provider}"; known: {known}')
        models: Sequence[Any] = found.models
        return models

    def _model(self, provider: str, name: str) -> Any:
        models = self._models(provider)
        if name.startswith("ft:"):
            raise NotPricedError(
                "a fine-tuned model has a price of its own; write it in farebox.toml"
            )
        found = [model for model in models if name in _exact(model.match)]
        if len(found) > 1:
            raise NotPricedError(f"{NAME} lists the name for {len(found)} models")
        if found and name.endswith("latest") and name != found[0].id:
            text = f'it is "{found[0].id}" only until the provider moves the name'
            raise NotPricedError(f"{text}; sell that one, or write its price in farebox.toml")
        if found:
            return found[0]
        for model in models:
            if model.match.is_match(name.lower()):
                text = f'only a pattern of "{model.id}" matches; that may be another model'
                raise NotPricedError(f"{text}: write its price in farebox.toml")
        raise NotPricedError(f"{NAME} {self.version} does not know it")


def _has_searches(model: Any) -> bool:
    return any(getattr(price, "web_searches_kcount", None) is not None for _, price in _days(model))


def _exact(match: Any) -> set[str]:
    """The names that a clause lists literally."""
    if (name := getattr(match, "equals", None)) is not None:
        return {name}
    return {name for clause in getattr(match, "or_", ()) for name in _exact(clause)}


def _days(model: Any) -> Iterator[tuple[str, Any]]:
    """The price that holds from each day on; the last one in the list that has begun counts."""
    if not isinstance(model.prices, list):
        yield "", model.prices
        return
    starts: set[date] = set()
    for conditional in model.prices:
        constraint = conditional.constraint
        if constraint is None:
            continue
        start = getattr(constraint, "start_date", None)
        if start is None:
            raise NotPricedError("its price depends on the time of the day")
        starts.add(start)
    days = sorted(starts)
    before = days[0] - timedelta(days=1) if days else date(2000, 1, 1)
    yield "", _on(model.prices, before)
    for day in days:
        yield day.isoformat(), _on(model.prices, day)


def _on(prices: Sequence[Any], day: date) -> Any:
    for conditional in reversed(prices):
        if conditional.constraint is None or conditional.constraint.start_date <= day:
            return conditional.prices
    return prices[0].prices


def _rates(price: Any) -> Rates:
    rates: Rates = {}
    for key, value in vars(price).items():
        if value is None or key in _NOT_SOLD:
            continue
        if key not in _UNITS:
            raise NotPricedError(f"it is also priced by {key}, which has no bound")
        for start, rate in _steps(value):
            place = (start, _UNITS[key])
            # A cached image may be dearer than cached text; they are reported as one.
            rates[place] = max(rates.get(place, 0), pico_per_token(rate))
    if (0, "input") not in rates:
        raise NotPricedError("it has no price for input tokens")
    return dict(sorted(rates.items()))


def _steps(value: Any) -> Iterable[tuple[int, Decimal]]:
    if isinstance(value, Decimal | int):
        return [(0, Decimal(value))]
    return [(0, value.base), *((tier.start, tier.price) for tier in value.tiers)]


def pico_per_token(per_million: Decimal) -> int:
    pico = per_million * 10**6
    if pico != int(pico) or pico < 0:
        raise NotPricedError(f"{per_million} per million tokens is finer than a pico a token")
    return int(pico)


def _changes(days: dict[str, Rates]) -> dict[str, Rates]:
    kept: dict[str, Rates] = {}
    for day, rates in days.items():
        if not kept or rates != list(kept.values())[-1]:
            kept[day] = rates
    return kept


def _notes(model: Any) -> Iterator[str]:
    prices = model.prices if isinstance(model.prices, list) else []
    last = prices[-1].prices if prices else model.prices
    for key, what in _NOT_SOLD.items():
        if getattr(last, key, None) is not None:
            yield f"{what} not sold"
    options = {
        f"{key}={value}"
        for variant in model.price_variants or ()
        for key, value in variant.when.items()
    }
    for option in sorted(options - {"service_tier=default"}):
        yield f"{option} not sold"
