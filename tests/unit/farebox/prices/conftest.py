"""Two small sources of our own making, in the forms of the real ones."""

import json
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from typer.testing import CliRunner

from farebox.main import app
from farebox.prices.source import Source

CONFIG = """
[catalogue]
currency = "USD"
[upstreams.north]
shape = "openai"
base_url = "https://llm.north.example/v1"
key_env = "FAREBOX_UPSTREAM_NORTH_KEY"
price_book = "north"
[models.swift]
routes = ["north/swift-1"]
[plans.payg]
unit = "USD"
sells = ["swift"]
"""


def tiered(base: str, start: int, above: str) -> TieredPrices:
    return TieredPrices(Decimal(base), [Tier(start, Decimal(above))])


def price(**rates: Any) -> ModelPrice:
    return ModelPrice(
        **{key: Decimal(rate) if isinstance(rate, str) else rate for key, rate in rates.items()}
    )


def from_day(day: date, **rates: Any) -> ConditionalPrice:
    return ConditionalPrice(StartDateConstraint(day), prices=price(**rates))


def always(**rates: Any) -> ConditionalPrice:
    return ConditionalPrice(prices=price(**rates))


def model(name: str, prices: Any, *aliases: str, match: Any = None, **more: Any) -> ModelInfo:
    exact = ClauseOr([ClauseEquals(one) for one in (name, *aliases)])
    return ModelInfo(name, match or exact, prices=prices, **more)


def providers() -> list[Provider]:
    """A provider whose models show every form that a price takes, and every trap."""
    models = [
        model(
            "swift-1",
            price(
                input_mtok=tiered("0.25", 1000, "0.5"),
                cache_read_mtok="0.025",
                cache_image_read_mtok="0.03",
                output_mtok=tiered("2", 1000, "3"),
                web_searches_kcount="10",
            ),
            "swift-1-2026",
            "swift-latest",
            context_window=400_000,
            price_variants=[
                PriceVariant({"service_tier": "priority"}, price(input_mtok="0.5")),
                PriceVariant({"service_tier": "default"}, price()),
            ],
        ),
        model(
            "dated",
            [
                always(input_mtok="1", output_mtok="2"),
                from_day(date(2026, 6, 1), input_mtok="1.5", output_mtok="2"),
                from_day(date(2027, 1, 1), input_mtok="3", output_mtok="4"),
            ],
        ),
        model(
            "off-peak",
            [
                always(input_mtok="1", output_mtok="2"),
                ConditionalPrice(
                    TimeOfDateConstraint(time(1), time(9)),
                    prices=price(input_mtok="0.5", output_mtok="1"),
                ),
            ],
        ),
        model("embed", price(input_mtok="0.02"), context_window=8192),
        model("pages", price(input_mtok="1", input_document_kpages="2")),
        model("fine", price(input_mtok="0.0000001", output_mtok="1")),
        model("free", price(output_mtok="1")),
        model("family", price(input_mtok="9", output_mtok="9"), match=ClauseStartsWith("family-")),
        model("twin", price(input_mtok="1", output_mtok="1")),
        model("twin-2", price(input_mtok="2", output_mtok="2"), "twin"),
    ]
    return [Provider("north", "North", "north", models=models)]


LITELLM = {
    "swift-1": {
        "litellm_provider": "north",
        "input_cost_per_token": 2.5e-07,
        "input_cost_per_token_above_1k_tokens": 5e-07,
        "input_cost_per_token_priority": 5e-07,
        "output_cost_per_token": 2e-06,
        "output_cost_per_token_above_1k_tokens": 3e-06,
        "cache_read_input_token_cost": 2.5e-08,
        "cache_read_input_image_token_cost": 3e-08,
        "cache_creation_input_token_cost_above_12hr": 1e-06,
        "max_input_tokens": 380_000,
        "max_output_tokens": 32_000,
        "provider_specific_entry": {"us": 1.1},
        "regional_processing_uplift_multiplier_eu": 1.2,
    },
    "north/dated": {
        "litellm_provider": "north",
        "input_cost_per_token": 1.5e-06,
        "output_cost_per_token": 2e-06,
        "max_tokens": 5,
        "max_output_tokens": 10_000,
    },
    "embed": {"litellm_provider": "another", "input_cost_per_token": 9e-06},
}


@dataclass
class Desk:
    """An operator's folder with farebox.toml, and the second source beside it."""

    folder: Path

    @property
    def book(self) -> Path:
        return self.folder / "prices.json"

    @property
    def config(self) -> Path:
        return self.folder / "farebox.toml"

    def second(self, entries: dict[str, Any]) -> None:
        (self.folder / "second.json").write_text(json.dumps(entries), encoding="utf-8")

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        own = ["--config", str(self.config)]
        if arguments[0] != "history":
            own += ["--second", str(self.folder / "second.json")]
        return CliRunner().invoke(app, ["prices", *arguments, *own], input=answer)

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> list[Provider]:
    """What the installed wheel holds; a test may change it."""
    found = providers()
    monkeypatch.setattr(Source, "installed", lambda: Source(found, "0.0.1"))
    return found


@pytest.fixture
def desk(tmp_path: Path, source: list[Provider]) -> Desk:
    desk = Desk(tmp_path)
    desk.config.write_text(CONFIG, encoding="utf-8")
    desk.second(LITELLM)
    return desk
