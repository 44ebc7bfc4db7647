"""What differs between two catalogues, plan by plan, as customers would see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from libs.catalogue.book import Catalogue, Limits, Plan
from libs.catalogue.price_lines import price_lines
from libs.events.money import decimal_text, minor_text

Facts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One fact of a plan, of an item it sells, or of a pack; None where it is not there."""

    of: str
    item: str
    fact: str
    old: str | None
    new: str | None


def compare(old: Catalogue | None, new: Catalogue) -> list[Change]:
    """Every difference, in the units of the plans."""
    before = {} if old is None else dict(_facts(old))
    after = dict(_facts(new))
    return [
        Change(*place, one, other)
        for place in sorted(before.keys() | after.keys())
        if (one := before.get(place)) != (other := after.get(place))
    ]


def _facts(catalogue: Catalogue) -> Iterator[tuple[tuple[str, str, str], str]]:
    for plan in catalogue.plans.values():
        for fact, value in _plan(plan).items():
            yield (f"plan {plan.name}", "", fact), value
        for line in price_lines(catalogue, plan):
            for fact, value in flat(line).items():
                yield (f"plan {plan.name}", str(line["name"]), fact), value
    for pack in catalogue.packs.values():
        facts = {
            "gives": f"{decimal_text(pack.gives, pack.unit)} {pack.unit}",
            "shelf_months": _text(pack.shelf_months),
        }
        prices = {f"price {unit}": minor_text(minor, unit) for unit, minor in pack.price.items()}
        for fact, value in (facts | prices).items():
            yield (f"pack {pack.name}", "", fact), value


def _plan(plan: Plan) -> Facts:
    initial = None if plan.initial is None else decimal_text(plan.initial, plan.unit)
    return {
        "unit": plan.unit,
        "margin_bps": str(plan.margin_bps),
        "packs": ", ".join(plan.packs) or "-",
        "recharge_pack": plan.recharge_pack or "-",
        "initial": _text(initial),
        "limits": _limits(plan.limits),
    }


def _limits(limits: Limits) -> str:
    each = limits.per_ms / 1000
    return f"{limits.requests} in {each:g} s, {limits.concurrent} at once"


def flat(line: Mapping[str, Any]) -> Facts:
    """A price line as single facts; `name` is what they are of."""
    facts: Facts = {}
    for name, value in line.items():
        if name == "tiers":
            for tier in value:
                above = f" above {tier['above']}"
                facts |= {f"{kind}{above}": rate for kind, rate in tier.items() if kind != "above"}
        elif name == "other_routes":
            for other in value:
                rest = flat({key: rate for key, rate in other.items() if key != "route"})
                facts |= {f"{fact} by {other['route']}": rate for fact, rate in rest.items()}
        elif isinstance(value, dict):
            facts |= {f"{name} {key}": str(inner) for key, inner in value.items()}
        elif name != "name":
            facts[name] = _text(value)
    return facts


def _text(value: object) -> str:
    return "-" if value is None else str(value)
