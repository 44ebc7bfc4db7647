"""Rates as farebox.toml gives them: what is not named, and what contradicts itself."""

from typing import Any

from libs.catalogue.book import KINDS, Rates
from libs.catalogue.errors import Problems, join
from libs.catalogue.tables import Values


def is_priced(values: Values) -> bool:
    """Whether a table of rates names any."""
    return any(values.get(kind) is not None for kind in (*KINDS, "image"))


def rates_of(values: Values) -> Rates:
    """The rates of a table without faults; what is not named costs what plain tokens do."""

    def rate(kind: str, default: int) -> int:
        found = values.get(kind)
        return default if found is None else int(found)

    plain, text = rate("input", 0), rate("output", 0)
    write = rate("cache_write", plain)
    return Rates(
        input=plain,
        output=text,
        cached_input=rate("cached_input", plain),
        cache_write=write,
        cache_write_1h=rate("cache_write_1h", write),
        image_input=rate("image_input", plain),
        image_output=rate("image_output", text),
        image=rate("image", 0),
    )


def check_rates(path: str, values: Values, problems: Problems, *, speaks: bool) -> None:
    """Report what is missing or contradicts itself; `speaks`: the model gives output tokens."""
    missing = _check_missing(path, values, problems, speaks=speaks)
    if not missing and not any(values.get(kind) for kind in (*KINDS, "image")):
        problems.add(path, "input and output are both free; a model must have a price")
    _check_order(path, values, problems)
    below, start = values, 0
    for index, tier in enumerate(values.get("tiers") or ()):
        where = f"{path}.tiers[{index}]"
        above = tier.get("above")
        _check_missing(where, tier, problems, speaks=speaks)
        _check_order(where, tier, problems)
        if above is not None and above <= start:
            problems.add(
                join(where, "above"), f"{above} is not above {start}; list tiers ascending"
            )
        _check_not_cheaper(where, tier, below, problems)
        below, start = tier, above or start


def _check_missing(path: str, values: Values, problems: Problems, *, speaks: bool) -> bool:
    wanted = {"input": "0.25", "output": "2.00"} if speaks else {"input": "0.25"}
    missing = [name for name in wanted if values.get(name, 0) is None]
    for name in missing:
        problems.add(join(path, name), f'is missing; add {name} = "{wanted[name]}"')
    return bool(missing)


def _check_order(path: str, values: Values, problems: Problems) -> None:
    plain, cached = values.get("input"), values.get("cached_input")
    if plain is not None and cached is not None and cached > plain:
        text = "is dearer than input; a cached token must not cost more than a plain one"
        problems.add(join(path, "cached_input"), text)
    write, hour = values.get("cache_write"), values.get("cache_write_1h")
    if write is not None and hour is not None and hour < write:
        text = "is cheaper than cache_write; an hour of a cache must not cost less than minutes"
        problems.add(join(path, "cache_write_1h"), text)


def _check_not_cheaper(path: str, tier: Values, below: Values, problems: Problems) -> None:
    """A tier is for longer requests: a cheaper one is a slip, or a rate that was left out."""
    if not _complete(tier) or not _complete(below):
        return
    higher, lower = rates_of(tier), rates_of(below)
    for kind in KINDS:
        if getattr(higher, kind) < getattr(lower, kind):
            text = f"is cheaper than below the tier; name {kind}, at least what it is there"
            problems.add(join(path, kind), text)


def _complete(values: dict[str, Any]) -> bool:
    return values.get("input") is not None and values.keys() >= set(KINDS)
