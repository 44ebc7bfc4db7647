"""From the values of a file without faults to the Catalogue, and its hash."""

import hashlib
import json
from typing import Any

from libs.catalogue.book import (
    Catalogue,
    Fee,
    GatewayConfig,
    LedgerConfig,
    Limits,
    Model,
    Operation,
    Pack,
    PaymentsConfig,
    Plan,
    Rates,
    RechargeConfig,
    Route,
    Tariff,
    Timeouts,
    Upstream,
    UpstreamPrice,
)
from libs.catalogue.rates import is_priced, rates_of
from libs.catalogue.tables import Values
from libs.events.money import minor_to_nanos, parse_decimal

_HASHED = ("catalogue", "models", "operations", "plans", "packs")


def catalogue_text(values: Values) -> str:
    """What is sold and at which price as canonical JSON, defaults filled in.

    Where Farebox listens, and how it reaches an upstream, are outside it: they can change without
    a new version of the catalogue.
    """
    covered: dict[str, Any] = {section: values[section] for section in _HASHED}
    # The prices taken from a book are covered, where they came from is not.
    covered["catalogue"] = values["catalogue"] | {"price_book": None}
    covered["upstreams"] = {
        name: {"prices": upstream["prices"]} for name, upstream in values["upstreams"].items()
    }
    return json.dumps(_given(covered), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _given(value: Any) -> Any:
    """Without what is none: a key that a later version adds does not change an older file."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(item) for item in value] if isinstance(value, tuple | list) else value


def build(values: Values) -> Catalogue:
    """The catalogue of values in which no fault was found."""
    text = catalogue_text(values)
    return Catalogue(
        hash=hashlib.sha256(text.encode("ascii")).hexdigest(),
        text=text,
        currency=values["catalogue"]["currency"],
        conversion=dict(values["catalogue"]["conversion"]),
        upstreams={name: _upstream(name, v) for name, v in values["upstreams"].items()},
        models={name: _model(name, v) for name, v in values["models"].items()},
        operations={
            name: _operation(name, v, values["catalogue"]["currency"])
            for name, v in values["operations"].items()
        },
        plans={name: _plan(name, v) for name, v in values["plans"].items()},
        packs={name: _pack(name, v) for name, v in values["packs"].items()},
        ledger=LedgerConfig(**values["ledger"]),
        gateway=GatewayConfig(**values["gateway"]),
        payments=PaymentsConfig(**values["payments"]),
        recharge=RechargeConfig(sweep_s=values["recharge"]["sweep"] // 1000),
    )


def _upstream(name: str, values: Values) -> Upstream:
    wait = values["timeouts"]
    return Upstream(
        name=name,
        shape=values["shape"],
        base_url=values["base_url"],
        key_env=values["key_env"],
        timeouts=Timeouts(
            connect_s=wait["connect"] / 1000,
            first_byte_s=wait["first_byte"] / 1000,
            idle_s=wait["idle"] / 1000,
        ),
        prices={model: _price(price) for model, price in values["prices"].items()},
        cap_field=values["cap_field"],
        tier=values["tier"],
    )


def _price(values: Values) -> UpstreamPrice:
    return UpstreamPrice(
        rates=rates_of(values),
        max_input=values["max_input"],
        max_output=values["max_output"],
        tiers=_tiers(values),
        known=is_priced(values),
        image_tokens_max=values["image_tokens_max"],
        image_tokens_rule=values["image_tokens_rule"],
    )


def _tiers(values: Values) -> tuple[tuple[int, Rates], ...]:
    image = values["image"]
    return tuple(
        (tier["above"], rates_of(tier | {"image": image})) for tier in values["tiers"] or ()
    )


def _model(name: str, values: Values) -> Model:
    routes = (route.partition("/") for route in values["routes"])
    return Model(
        name=name,
        rule=values["rule"],
        routes=tuple(Route(upstream, model) for upstream, _, model in routes),
        default_max_output=values["default_max_output"],
        retail={
            unit: Tariff(rates_of(own), _tiers(own))
            for unit, own in (values["retail"] or {}).items()
        },
        weights=values["weights"],
        on_disconnect=values["on_disconnect"],
    )


_UNROUTED = dict.fromkeys(("method", "path", "upstream", "upstream_path"), "")


def _operation(name: str, values: Values, currency: str) -> Operation:
    ceiling = values["attached_cost_ceiling"]
    return Operation(
        name=name,
        **(values["route"] or _UNROUTED),
        price={unit: parse_decimal(text, unit) for unit, text in values["price"].items()},
        success=values["success"],
        timeout_s=values["timeout"] / 1000,
        unsettled=values["unsettled"],
        fee=_fee(values["fee"]),
        attached_cost_ceiling=None if ceiling is None else parse_decimal(ceiling, currency),
    )


def _fee(values: Values | None) -> Fee | None:
    if values is None:
        return None
    currency = values["currency"]
    return Fee(currency, _minor(values["amount"], currency), values["schedule"])


def _minor(amount: str, currency: str) -> int:
    return parse_decimal(amount, currency) // minor_to_nanos(1, currency)


def _initial(values: Values) -> int | None:
    initial = values["initial"]
    return None if initial is None else parse_decimal(initial, values["unit"])


def _limits(values: Values) -> Limits:
    return Limits(values["requests"], values["per"], values["concurrent"])


def _plan(name: str, values: Values) -> Plan:
    return Plan(
        name=name,
        unit=values["unit"],
        margin_bps=values["margin_bps"],
        sells=frozenset(values["sells"]),
        packs=values["packs"],
        recharge_pack=values["recharge_pack"],
        limits=_limits(values["limits"]),
        initial=_initial(values),
    )


def _pack(name: str, values: Values) -> Pack:
    return Pack(
        name=name,
        unit=values["unit"],
        gives=parse_decimal(values["gives"], values["unit"]),
        price={currency: _minor(text, currency) for currency, text in values["price"].items()},
        shelf_months=values["shelf_months"],
    )
