"""Stripe's form encoding: `metadata[order]=x`, `line_items[0][quantity]=1`, `types[]=a`."""

from collections.abc import Iterable
from typing import Any

from simulators.stripe.errors import invalid

Params = dict[str, Any]


def nested(pairs: Iterable[tuple[str, str]]) -> Params:
    """The pairs of a form or a query as nested dicts and lists; every leaf stays a string."""
    root: Params = {}
    for key, value in pairs:
        head, *rest = key.replace("]", "").split("[")
        node, step = root, head
        for following in rest:
            node = node.setdefault(step, {})
            step = following or str(len(node))
        node[step] = value
    return {key: _lists(value) for key, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(item) for key, item in value.items()}


def required(params: Params, name: str) -> Any:
    """The parameter, or Stripe's 400 for a missing one."""
    if name not in params:
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    return params[name]


def integer(params: Params, name: str) -> int:
    """A required whole number, in minor units where it is money."""
    text = required(params, name)
    if not isinstance(text, str) or not text.lstrip("-").isdigit():
        raise invalid(f"Invalid integer: {text}", param=name, code="parameter_invalid_integer")
    return int(text)


def flag(params: Params, name: str) -> bool:
    """A boolean parameter; absent is false."""
    return params.get(name) == "true"


def metadata(params: Params, before: dict[str, str] | None = None) -> dict[str, str]:
    """The metadata after this call: keys are merged, an empty value unsets one."""
    merged = {**(before or {}), **(params.get("metadata") or {})}
    return {key: value for key, value in merged.items() if value != ""}
