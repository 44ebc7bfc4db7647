"""farebox.toml: what is sold, at which price, through which upstream. Pure: only `load` reads."""

from libs.catalogue.book import (
    DEFAULT_LIMITS,
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
from libs.catalogue.errors import CatalogueError
from libs.catalogue.load import load, parse
from libs.catalogue.price_lines import price_lines
from libs.catalogue.pricing import Usage, charge_nanos, cost_pico, margin_nanos, most_pico

__all__ = [
    "DEFAULT_LIMITS",
    "Catalogue",
    "CatalogueError",
    "Fee",
    "GatewayConfig",
    "LedgerConfig",
    "Limits",
    "Model",
    "Operation",
    "Pack",
    "PaymentsConfig",
    "Plan",
    "Rates",
    "RechargeConfig",
    "Route",
    "Tariff",
    "Timeouts",
    "Upstream",
    "UpstreamPrice",
    "Usage",
    "charge_nanos",
    "cost_pico",
    "load",
    "margin_nanos",
    "most_pico",
    "parse",
    "price_lines",
]
