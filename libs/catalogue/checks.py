"""What must hold between the parts of farebox.toml, beyond the form of single values.

Every check reads values that may have gaps: what could not be read is already reported, so a gap
is passed over and never becomes a second fault.
"""

import re
from collections.abc import Iterator
from typing import Any

from libs.catalogue.errors import Problems, join, suggestion
from libs.catalogue.price_checks import check_price, check_retail, check_routed, check_sold_model
from libs.catalogue.tables import Values
from libs.events.money import CREDIT, MAX_AMOUNT, minor_to_nanos, parse_decimal

RESERVED_PATHS = ("/admin", "/billing", "/health", "/metrics")
SURFACE_PATHS = (
    "/v1/chat",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/images",
    "/v1/messages",
)
MODEL_LIST = "/v1/models"
_OWN_PART = re.compile(r"\{[^}]*\}")


def check(values: Values, problems: Problems) -> None:
    """Report every fault between the parts of one file."""
    _check_catalogue(values, problems)
    _check_upstreams(values, problems)
    _check_models(values, problems)
    _check_operations(values, problems)
    _check_packs(values, problems)
    _check_plans(values, problems)
    _check_listen(values, problems)


def _entries(values: Values, section: str) -> Iterator[tuple[str, str, Values]]:
    """Path, name and values of each entry of a section that could be read at all."""
    for name, entry in values.get(section, {}).items():
        if entry is not None:
            yield join(section, name), name, entry


def _known(name: str, path: str, what: str, known: dict[str, Any], problems: Problems) -> bool:
    if name not in known:
        problems.add(path, f'no {what} is named "{name}"; {suggestion(name, known)}')
    return name in known


def _check_catalogue(values: Values, problems: Problems) -> None:
    terms = values.get("catalogue") or {}
    currency = terms.get("currency")
    if currency is not None and currency in (terms.get("conversion") or {}):
        where = f"catalogue.conversion.{currency}"
        problems.add(where, "is the currency itself; remove it")


def _check_upstreams(values: Values, problems: Problems) -> None:
    for path, _, upstream in _entries(values, "upstreams"):
        shape, prices = upstream.get("shape"), upstream.get("prices") or {}
        if shape == "http" and prices:
            text = 'an upstream of shape "http" has no token prices; remove them'
            problems.add(join(path, "prices"), text)
        for model, price in prices.items():
            if price is not None:
                check_price(join(join(path, "prices"), model), price, shape, problems)


def _check_models(values: Values, problems: Problems) -> None:
    upstreams = values.get("upstreams", {})
    for path, name, model in _entries(values, "models"):
        if name in values.get("operations", {}):
            problems.add(path, "an operation has the same name; rename one of them")
        check_retail(path, model, problems)
        for index, route in enumerate(model.get("routes", ())):
            _check_route(f"{path}.routes[{index}]", route, model, upstreams, problems)
        _check_weights(join(path, "weights"), model, problems)


def _check_weights(path: str, model: Values, problems: Problems) -> None:
    weights, routes = model.get("weights"), model.get("routes")
    if weights is None or routes is None:
        return
    if len(weights) != len(routes):
        text = f"has {len(weights)} numbers for {len(routes)} routes; write one for each"
        problems.add(path, text)
    elif not any(weights):
        problems.add(path, "are all 0; give one route more")


def _check_route(
    path: str, route: str, model: Values, upstreams: dict[str, Any], problems: Problems
) -> None:
    upstream_name, _, upstream_model = route.partition("/")
    if not _known(upstream_name, path, "upstream", upstreams, problems):
        return
    upstream = upstreams[upstream_name] or {}
    if upstream.get("shape") == "http":
        text = f'"{upstream_name}" has shape "http"; models need "openai" or "anthropic"'
        problems.add(path, text)
    elif (prices := upstream.get("prices")) is not None:
        provider = upstream.get("price_book")
        if provider is not None and upstream_model not in prices:
            text = f"run farebox prices import {provider}/{upstream_model}"
            problems.add(path, f'"{upstream_model}" has no price in the price book; {text}')
            return
        what = f'price of upstream "{upstream_name}"'
        if not _known(upstream_model, path, what, prices, problems):
            return
        check_routed(path, route, model, prices[upstream_model] or {}, problems)


def _check_operations(values: Values, problems: Problems) -> None:
    seen: dict[tuple[str, str], str] = {}
    for path, name, operation in _entries(values, "operations"):
        for unit, amount in (operation.get("price") or {}).items():
            _check_amount(join(join(path, "price"), unit), amount, unit, problems)
        ceiling, currency = operation.get("attached_cost_ceiling"), _currency(values)
        _check_amount(join(path, "attached_cost_ceiling"), ceiling, currency, problems)
        if operation.get("fee") is not None:
            _check_money(join(join(path, "fee"), "amount"), operation["fee"], problems)
        if operation.get("price") == {}:
            problems.add(join(path, "price"), 'is empty; name a price, like { CREDIT = "1" }')
        route = operation.get("route") or {}
        where = join(path, "route")
        if (upstream := route.get("upstream")) is not None:
            known = values.get("upstreams", {})
            _known(upstream, join(where, "upstream"), "upstream", known, problems)
        if (own := route.get("path")) is None:
            continue
        if _is_reserved(own):
            problems.add(join(where, "path"), f'"{own}" belongs to Farebox itself; choose another')
        _check_template(where, own, route.get("upstream_path"), problems)
        # Parts of the customer's own match alike, whatever their names.
        first = seen.setdefault((route.get("method", ""), _OWN_PART.sub("{}", own)), name)
        if first != name:
            problems.add(join(where, "path"), f'"{own}" is taken by {first}; choose another')


def _check_template(where: str, own: str, upstream: str | None, problems: Problems) -> None:
    """The upstream's path can use only what the customer's path names, once each."""
    named = _OWN_PART.findall(own)
    for part in sorted({part for part in named if named.count(part) > 1}):
        problems.add(join(where, "path"), f'names "{part}" twice; give each part its own name')
    for part in sorted({*_OWN_PART.findall(upstream or "")} - {*named}):
        text = f'uses "{part}", which the path does not name; add it to path or remove it'
        problems.add(join(where, "upstream_path"), text)


def _currency(values: Values) -> str | None:
    currency: str | None = (values.get("catalogue") or {}).get("currency")
    return currency


def _is_reserved(path: str) -> bool:
    """Whether a path, or any that it stands for, lies in a place of Farebox's own."""
    parts = path.split("/")
    for base in (*RESERVED_PATHS, *SURFACE_PATHS, MODEL_LIST):
        own = base.split("/")
        same = all(part == ours or "{" in part for part, ours in zip(parts, own, strict=False))
        if same and len(parts) >= len(own):
            return True
    return False


def _check_amount(path: str, amount: str | None, unit: str | None, problems: Problems) -> None:
    """An amount of a unit must be exact in it, above zero and within what a ledger can hold."""
    if amount is None or unit is None:
        return
    if unit == CREDIT and "." in amount:
        problems.add(path, f'"{amount}" is not a whole number of credits; write one')
        return
    try:
        nanos = parse_decimal(amount, unit)
    except ValueError:
        nanos = MAX_AMOUNT + 1
    if not 0 < nanos <= MAX_AMOUNT:
        text = f'"{amount}" is out of bounds; write an amount above 0 and below 4000000000'
        problems.add(path, text)


def _check_packs(values: Values, problems: Problems) -> None:
    for path, _, pack in _entries(values, "packs"):
        _check_amount(join(path, "gives"), pack.get("gives"), pack.get("unit"), problems)
        prices = pack.get("price")
        if prices == {}:
            problems.add(join(path, "price"), 'is empty; name a price, like { USD = "10.00" }')
        for currency, amount in (prices or {}).items():
            where = join(join(path, "price"), currency)
            _check_money(where, {"amount": amount, "currency": currency}, problems)


def _check_money(path: str, money: Values, problems: Problems) -> None:
    """An amount that is asked for must be one of whole minor units of its currency."""
    amount, currency = money.get("amount"), money.get("currency")
    _check_amount(path, amount, currency, problems)
    if amount is not None and currency is not None and _too_fine(amount, currency):
        problems.add(path, f'"{amount}" is finer than {currency} can be paid; round it')


def _too_fine(amount: str, currency: str) -> bool:
    try:
        return parse_decimal(amount, currency) % minor_to_nanos(1, currency) != 0
    except ValueError:
        return False


def _check_plans(values: Values, problems: Problems) -> None:
    for path, _, plan in _entries(values, "plans"):
        unit = plan.get("unit")
        for name in plan.get("sells", ()):
            _check_sold(join(path, "sells"), name, unit, values, problems)
        _check_amount(join(path, "initial"), plan.get("initial"), unit, problems)
        _check_plan_packs(path, plan, values, problems)


def _check_sold(path: str, name: str, unit: str | None, values: Values, problems: Problems) -> None:
    """Each pair of plan and sold item needs a price in the plan's unit."""
    models, operations = values.get("models", {}), values.get("operations", {})
    if not _known(name, path, "model or operation", models | operations, problems):
        return
    if unit is None:
        return
    if name in operations:
        price = (operations[name] or {}).get("price")
        if price is not None and unit not in price:
            where = join(join("operations", name), "price")
            problems.add(path, f'"{name}" has no price in {unit}; add {unit} to {where}')
        return
    check_sold_model(path, name, unit, values, problems)


def _check_plan_packs(path: str, plan: Values, values: Values, problems: Problems) -> None:
    unit, listed, packs = plan.get("unit"), plan.get("packs"), values.get("packs", {})
    for name in listed or ():
        where = join(path, "packs")
        if not _known(name, where, "pack", packs, problems):
            continue
        gives = (packs[name] or {}).get("unit")
        if unit is not None and gives is not None and gives != unit:
            text = f'"{name}" gives {gives} and the plan is in {unit}; list a pack of {unit}'
            problems.add(where, text)
    chosen = plan.get("recharge_pack")
    if chosen is None:
        return
    where = join(path, "recharge_pack")
    if unit is not None and unit != CREDIT:
        problems.add(where, f"is for CREDIT plans only and this one is in {unit}; remove it")
    elif listed is not None and chosen not in listed:
        problems.add(where, f'"{chosen}" is not among its packs; {suggestion(chosen, listed)}')


def _check_listen(values: Values, problems: Problems) -> None:
    seen: dict[tuple[str, int], str] = {}
    for section, key in (
        ("gateway", "listen"),
        ("gateway", "admin_listen"),
        ("payments", "listen"),
    ):
        address = (values.get(section) or {}).get(key)
        if address is None or address[1] == 0:
            continue
        path = join(section, key)
        first = seen.setdefault(address, path)
        if first != path:
            problems.add(
                path, f"{address[0]}:{address[1]} is taken by {first}; choose another port"
            )
