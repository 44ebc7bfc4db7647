"""What must hold of the prices of models: upstream prices, own ones, and what plans sell."""

from libs.catalogue.errors import Problems, join
from libs.catalogue.rates import check_rates, is_priced
from libs.catalogue.tables import Values


def check_price(path: str, price: Values, shape: str | None, problems: Problems) -> None:
    """One price of an upstream; one without any rate has a cost that is not known."""
    if is_priced(price):
        check_rates(path, price, problems, speaks=price.get("max_output") != 0)
    elif price.get("tiers"):
        problems.add(join(path, "tiers"), "are dearer rates, and there are none below; name input")
    named = price.get("cache_write") is not None
    if shape == "anthropic" and named and price.get("cache_write_1h", 0) is None:
        text = "is missing; a client may ask for an hour, name it beside cache_write"
        problems.add(join(path, "cache_write_1h"), text)
    if price.get("image_tokens_rule") is not None and price.get("image_tokens_max", 0) is None:
        text = "is missing; an image of a size that cannot be read counts that many"
        problems.add(join(path, "image_tokens_max"), text)


def check_retail(path: str, model: Values, problems: Problems) -> None:
    """Own prices are there when the rule asks for them, and only then."""
    rule, retail = model.get("rule"), model.get("retail", {})
    where = join(path, "retail")
    if rule == "retail" and not retail and "retail" in model:
        example = 'retail = { USD = { input = "1.00", output = "2.00" } }'
        problems.add(where, f"is missing; add {example}")
    if rule == "cost_plus" and retail:
        problems.add(where, 'means nothing by rule "cost_plus"; set rule = "retail" or remove it')
    for unit, rates in (retail or {}).items():
        if rates is not None:
            # Whether the model speaks is known of its upstream; here a rate may be left out.
            check_rates(join(where, unit), rates, problems, speaks=rates.get("image") is None)


def check_routed(path: str, route: str, model: Values, price: Values, problems: Problems) -> None:
    """What a model asks of the price of one of its routes."""
    most, wanted = price.get("max_output"), model.get("default_max_output")
    if most and wanted is not None and wanted > most:
        text = f"{wanted} is above max_output {most} of {route}; lower default_max_output"
        problems.add(path.rpartition(".")[0] + ".default_max_output", text)
    for unit, own in (model.get("retail") or {}).items():
        where = join(join(path.rpartition(".")[0], "retail"), unit)
        _check_own(where, route, own or {}, price, problems)
    rates_read = price.keys() >= {"input", "output"}
    if model.get("rule") == "cost_plus" and rates_read and not is_priced(price):
        upstream, _, name = route.partition("/")
        where = join(f"upstreams.{upstream}.prices", name)
        problems.add(path, f"{route} has no price; add input and output to {where}")


def _check_own(path: str, route: str, own: Values, price: Values, problems: Problems) -> None:
    """What a route makes has a price of its own, if only "0": what is not named would be free."""
    most = price.get("max_output")
    if most and own.get("image") is not None and own.get("output", 0) is None:
        text = f'is missing and {route} gives up to {most} tokens; add output, "0" for nothing'
        problems.add(join(path, "output"), text)
    if price.get("image") and own.get("image", 0) is None:
        text = f'is missing and {route} charges for each image; add image, "0" for nothing'
        problems.add(join(path, "image"), text)


def check_sold_model(path: str, name: str, unit: str, values: Values, problems: Problems) -> None:
    """A model that a plan sells needs a price in the plan's unit."""
    model = values.get("models", {}).get(name) or {}
    if model.get("rule") == "retail":
        retail = model.get("retail")
        if retail and unit not in retail:
            where = join(join("models", name), "retail")
            problems.add(path, f'"{name}" has no price in {unit}; add {unit} to {where}')
        return
    terms = values.get("catalogue") or {}
    currency, conversion = terms.get("currency"), terms.get("conversion")
    if currency is None or conversion is None or unit == currency or unit in conversion:
        return
    text = (
        f'"{name}" is priced in {currency} and the plan is in {unit}; add catalogue.'
        f"conversion.{unit} = [units, for so many {currency}]"
    )
    problems.add(path, text)
