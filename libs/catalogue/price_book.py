"""The price book: what providers charge, exact and dated, as one file beside farebox.toml (PRC-7).

All rows of a model with one `effective_from` are its whole price from that day on. The file says
itself which day it is read for (`as_of`): a row that becomes effective later changes nothing until
an operator moves that day on and publishes the catalogue that follows from it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from libs.catalogue.book import KINDS
from libs.catalogue.errors import CatalogueError

FORMAT: Final = 1
_DAY: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_MOST_PICO: Final = 10**12
_MOST_TOKENS: Final = 100_000_000


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One rate: pico of the currency for each token of a kind, above `tier_start` input tokens.

    `effective_from` is an ISO day; empty for a price that held before the book began.
    """

    provider: str
    model: str
    effective_from: str
    tier_start: int
    unit: str
    pico_per_unit: int
    source: str
    source_version: str


@dataclass(frozen=True, slots=True, order=True)
class Limits:
    """The largest input and output of a model in tokens; None where no source tells."""

    provider: str
    model: str
    max_input: int | None
    max_output: int | None
    source: str
    source_version: str


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All rows, of all days; `as_of` is the day whose prices are in use."""

    as_of: str
    currency: str
    rows: tuple[Row, ...]
    limits: tuple[Limits, ...]

    def days(self, provider: str, model: str) -> list[str]:
        """The days on which a model's price changed or will, ascending."""
        return sorted(
            {
                row.effective_from
                for row in self.rows
                if (row.provider, row.model) == (provider, model)
            }
        )

    def price(self, provider: str, model: str, day: str | None = None) -> list[Row]:
        """A model's rows on a day, by default `as_of`; none: it has no price then."""
        wanted = self.as_of if day is None else day
        days = [found for found in self.days(provider, model) if found <= wanted]
        return [
            row
            for row in self.rows
            if days and (row.provider, row.model, row.effective_from) == (provider, model, days[-1])
        ]

    def limits_of(self, provider: str, model: str) -> Limits | None:
        for found in self.limits:
            if (found.provider, found.model) == (provider, model):
                return found
        return None

    def models(self) -> list[tuple[str, str]]:
        """Provider and model of all prices."""
        return sorted({(row.provider, row.model) for row in self.rows})

    def table(self, provider: str, model: str) -> dict[str, Any]:
        """A model's price as farebox.toml would write it; empty when it has none."""
        rows = self.price(provider, model)
        if not rows:
            return {}
        base = {row.unit: row.pico_per_unit for row in rows if row.tier_start == 0}
        table: dict[str, Any] = {unit: per_million(pico) for unit, pico in base.items()}
        if tiers := list(_tiers(rows, base)):
            table["tiers"] = tiers
        limits = self.limits_of(provider, model)
        if limits and limits.max_input is not None:
            table["max_input"] = limits.max_input
        if "output" not in base and "image_output" not in base:
            # Without a price of it there is no output to sell.
            table["max_output"] = 0
        elif limits and limits.max_output is not None:
            table["max_output"] = limits.max_output
        return table

    def text(self) -> str:
        """The file: one row a line, so that a change of a price is a change of a line."""
        parts = [
            f' "format": {FORMAT}',
            f' "as_of": {json.dumps(self.as_of)}',
            f' "currency": {json.dumps(self.currency)}',
            f' "limits": {_lines(self.limits)}',
            f' "rows": {_lines(self.rows)}',
        ]
        return "{\n" + ",\n".join(parts) + "\n}\n"


def per_million(pico: int) -> str:
    """Pico a token as the price of a million: decimal text."""
    whole, fraction = divmod(pico, 10**6)
    return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")


def _tiers(rows: list[Row], base: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Tiers as whole tables: a rate that does not change at one stays what it was below."""
    rates = dict(base)
    for start in sorted({row.tier_start for row in rows} - {0}):
        rates |= {row.unit: row.pico_per_unit for row in rows if row.tier_start == start}
        yield {"above": start} | {unit: per_million(pico) for unit, pico in rates.items()}


def _lines(items: Iterable[Row | Limits]) -> str:
    lines = [json.dumps(asdict(item), separators=(", ", ": ")) for item in sorted(items)]
    return "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"


def parse_book(text: str, name: str = "prices.json") -> PriceBook:
    """The book of a file's text; CatalogueError names every fault at once."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise CatalogueError([f"{name}: the file is not JSON: {error}"]) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise CatalogueError([f"{name}: is not a price book of format {FORMAT}; import it anew"])
    errors: list[str] = []
    rows = tuple(_items(Row, raw.get("rows"), f"{name}: rows", errors))
    limits = tuple(_items(Limits, raw.get("limits"), f"{name}: limits", errors))
    as_of, currency = raw.get("as_of"), raw.get("currency")
    if not isinstance(as_of, str) or not _DAY.fullmatch(as_of):
        errors.append(f'{name}: as_of: is not a day; write it like "2026-11-29"')
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
        errors.append(f'{name}: currency: is not a currency; write it like "USD"')
    for row in rows:
        errors.extend(f"{name}: {row.provider}/{row.model}: {fault}" for fault in _faults(row))
    keys = [(row.provider, row.model, row.effective_from, row.tier_start, row.unit) for row in rows]
    errors.extend(f"{name}: {key} stands there twice" for key in set(keys) if keys.count(key) > 1)
    if errors:
        raise CatalogueError(errors)
    assert isinstance(as_of, str)
    assert isinstance(currency, str)
    return PriceBook(as_of, currency, rows, limits)


def _items(kind: type[Any], raw: object, path: str, errors: list[str]) -> Iterator[Any]:
    if not isinstance(raw, list):
        errors.append(f"{path}: is missing or not a list")
        return
    wanted = {field.name: field.type for field in fields(kind)}
    for index, item in enumerate(raw):
        if not isinstance(item, dict) or item.keys() != wanted.keys():
            errors.append(f"{path}[{index}]: must have exactly {', '.join(wanted)}")
        elif any(not _is(item[name], form) for name, form in wanted.items()):
            errors.append(f"{path}[{index}]: a value is of the wrong kind")
        else:
            yield kind(**item)


def _is(value: object, form: Any) -> bool:
    if form is str:
        return isinstance(value, str) and len(value) <= 200
    if value is None:
        return form is not int
    return type(value) is int and 0 <= value <= _MOST_PICO


def _faults(row: Row) -> Iterator[str]:
    if row.unit not in KINDS:
        yield f'"{row.unit}" is no unit; known: {", ".join(KINDS)}'
    if row.effective_from and not _DAY.fullmatch(row.effective_from):
        yield f'"{row.effective_from}" is not a day'
    if row.tier_start > _MOST_TOKENS:
        yield f"a tier cannot start at {row.tier_start} tokens"


def wanted_of(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Upstream, provider and model of every price that a farebox.toml takes from a book.

    `raw` is the file as TOML, perhaps with faults: what cannot be read is passed over.
    """
    models = raw.get("models")
    routes = [
        route
        for model in (models.values() if isinstance(models, dict) else ())
        if isinstance(model, dict) and isinstance(model.get("routes"), list)
        for route in model["routes"]
        if isinstance(route, str)
    ]
    upstreams = raw.get("upstreams")
    for name, upstream in upstreams.items() if isinstance(upstreams, dict) else ():
        provider = upstream.get("price_book") if isinstance(upstream, dict) else None
        if not isinstance(provider, str):
            continue
        prices = upstream.get("prices")
        known = dict.fromkeys(prices) if isinstance(prices, dict) else {}
        known |= {
            route.partition("/")[2]: None for route in routes if route.partition("/")[0] == name
        }
        for model in known:
            yield name, provider, model


def fill(raw: Mapping[str, Any], book: PriceBook) -> dict[str, Any]:
    """A farebox.toml with the book's prices written into it; its own ones win, key by key."""
    upstreams = dict(raw["upstreams"]) if isinstance(raw.get("upstreams"), dict) else {}
    for name, provider, model in wanted_of(raw):
        given = upstreams[name].get("prices", {})
        own = given.get(model, {}) if isinstance(given, dict) else None
        table = book.table(provider, model)
        if table and isinstance(own, dict):
            upstreams[name] = upstreams[name] | {"prices": given | {model: table | own}}
    return dict(raw) | ({"upstreams": upstreams} if upstreams else {})
