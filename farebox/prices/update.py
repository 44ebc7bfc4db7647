"""A price book brought up to what the sources say: what changes, is refused, or is in doubt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from farebox.prices.second import Second, disagreements
from farebox.prices.source import NAME, NotPricedError, Priced, Rates, Source
from libs.catalogue.price_book import Limits, PriceBook, Row

LITELLM: Final = "litellm"
Model = tuple[str, str]
"""Provider and exact name."""


@dataclass
class Update:
    """What an import would do. Lists hold plain dicts, ready for JSON."""

    book: PriceBook
    changes: list[dict[str, Any]] = field(default_factory=list)
    """Filled in by the caller, who knows the book as it was."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    doubtful: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)


def update(
    book: PriceBook,
    wanted: Iterable[Model],
    source: Source,
    second: Second | None,
    *,
    accept: bool,
) -> Update:
    """The book with the wanted models' prices of `book.as_of`.

    A model whose two sources disagree stays as it is unless `accept`.
    """
    result = Update(book)
    for provider, name in sorted(set(wanted)):
        try:
            found = source.priced(provider, name)
        except NotPricedError as error:
            result.refused.append(_about(provider, name, why=str(error)))
            continue
        notes = [*found.notes, *(second.notes(provider, name) if second else ())]
        if notes:
            result.notes.append(_about(provider, name, notes=notes))
        doubts = list(_doubts(book.as_of, provider, name, found, second))
        result.doubtful.extend(doubts)
        if doubts and not accept:
            continue
        result.book = _with_model(result.book, provider, name, found, source, second)
    return result


def changes(old: PriceBook, new: PriceBook) -> Iterator[dict[str, Any]]:
    """Every rate and limit that differs between two books, each on its own day of use."""
    for provider, name in sorted({*old.models(), *new.models()}):
        before, after = rates_of(old, provider, name), rates_of(new, provider, name)
        for place in sorted(before.keys() | after.keys()):
            if before.get(place) != after.get(place):
                yield _change(provider, name, *place, before.get(place), after.get(place))
        was, now = old.limits_of(provider, name), new.limits_of(provider, name)
        for limit in ("max_input", "max_output"):
            one, other = getattr(was, limit, None), getattr(now, limit, None)
            if one != other:
                yield _change(provider, name, 0, limit, one, other)


def rates_of(book: PriceBook, provider: str, name: str) -> Rates:
    return {(row.tier_start, row.unit): row.pico_per_unit for row in book.price(provider, name)}


def rates_on(found: Priced, day: str) -> Rates:
    """What the source says of a day; its first price holds before its first day."""
    begun = [start for start in found.days if start <= day]
    return found.days[begun[-1] if begun else min(found.days)]


def _with_model(
    book: PriceBook,
    provider: str,
    name: str,
    found: Priced,
    source: Source,
    second: Second | None,
) -> PriceBook:
    model = (provider, name)
    history = {
        day: [
            row
            for row in book.rows
            if (row.provider, row.model, row.effective_from) == (*model, day)
        ]
        for day in book.days(*model)
        # A price that was announced and is announced no more was called off.
        if day <= book.as_of
    }
    for day, rates in found.days.items():
        if not history or day > max(history):
            history[day] = list(source.rows(*model, day, rates))
    now = rates_on(found, book.as_of)
    current = max(day for day in history if day <= book.as_of)
    if {(row.tier_start, row.unit): row.pico_per_unit for row in history[current]} != now:
        # The source does not say since when: here it holds from the day it was seen.
        history[book.as_of] = list(source.rows(*model, book.as_of, now))
    others = [row for row in book.rows if (row.provider, row.model) != model]
    rows = [*others, *(row for day_rows in history.values() for row in day_rows)]
    limits = [one for one in book.limits if (one.provider, one.model) != model]
    limits.append(_limits(provider, name, found, source, second))
    return PriceBook(
        book.as_of, book.currency, tuple(sorted(rows)), tuple(sorted(limits, key=_key))
    )


def _limits(
    provider: str, name: str, found: Priced, source: Source, second: Second | None
) -> Limits:
    """The larger input of two sources, so that the bound holds; output as the second tells."""
    most_in, most_out = second.limits(provider, name) if second else (None, None)
    known = [limit for limit in (found.context, most_in) if limit is not None]
    if most_in is None and most_out is None:
        return Limits(provider, name, max(known, default=None), None, NAME, source.version)
    assert second is not None
    return Limits(provider, name, max(known, default=None), most_out, LITELLM, second.version)


def _key(limits: Limits) -> Model:
    return limits.provider, limits.model


def _doubts(
    day: str, provider: str, name: str, found: Priced, second: Second | None
) -> Iterator[dict[str, Any]]:
    theirs = second.rates(provider, name) if second else None
    for start, unit, ours, other in disagreements(rates_on(found, day), theirs or {}):
        place = {"tier_start": start, "unit": unit}
        yield _about(provider, name, **place, pico=ours, second_pico=other)


def _change(
    provider: str, name: str, start: int, unit: str, old: int | None, new: int | None
) -> dict[str, Any]:
    return _about(provider, name, tier_start=start, unit=unit, old=old, new=new)


def _about(provider: str, name: str, **more: Any) -> dict[str, Any]:
    return {"model": f"{provider}/{name}", **more}


def rows_of_day(book: PriceBook, provider: str, name: str, day: str) -> list[Row]:
    """The rows that hold from one day on."""
    return [
        row
        for row in book.rows
        if (row.provider, row.model, row.effective_from) == (provider, name, day)
    ]
