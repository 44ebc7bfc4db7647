"""A second source to check the first against, and the only one for output limits: LiteLLM's JSON.

Its prices are never used: they are floats without a history. They are compared.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from farebox.prices.source import Rates

FILE: Final = "model_prices_and_context_window_backup.json"
_PREFIXES: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "cache_read_input_image_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_token": "output",
    "output_cost_per_image_token": "image_output",
}
_KEY: Final = re.compile(rf"({'|'.join(_PREFIXES)})(?:_above_([0-9]+)k_tokens)?")
_NAMES: Final = {
    "aws": {"bedrock", "bedrock_converse"},
    "azure": {"azure", "azure_ai"},
    "fireworks": {"fireworks_ai"},
    "google": {"gemini", "vertex_ai-language-models"},
    "openai": {"openai", "text-completion-openai"},
    "together": {"together_ai"},
    "voyageai": {"voyage"},
    "x-ai": {"xai"},
}


@dataclass(frozen=True)
class Second:
    """The whole file, and where it came from."""

    entries: Mapping[str, Any]
    version: str

    @classmethod
    def read(cls, path: Path, version: str = "") -> "Second":
        """Raises OSError or ValueError when it cannot be read."""
        entries = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        if not isinstance(entries, dict):
            raise ValueError(f"{path} is not LiteLLM's list of prices")  # noqa: TRY004 - of the file
        return cls(entries, version or path.name)

    @classmethod
    def installed(cls) -> "Second | None":
        """The file of an installed litellm; the package itself is not imported."""
        spec = find_spec("litellm")
        places = list(spec.submodule_search_locations or ()) if spec else []
        for place in places:
            if (path := Path(place) / FILE).is_file():
                return cls.read(path, _version())
        return None

    def entry(self, provider: str, name: str) -> Mapping[str, Any] | None:
        """What it says of a model by its exact name."""
        owners = _NAMES.get(provider, {provider})
        for key in (name, *(f"{owner}/{name}" for owner in sorted(owners))):
            entry = self.entries.get(key)
            if isinstance(entry, dict) and entry.get("litellm_provider") in owners:
                return entry
        return None

    def limits(self, provider: str, name: str) -> tuple[int | None, int | None]:
        """Largest input and output in tokens, where it tells."""
        entry = self.entry(provider, name) or {}
        return _count(entry.get("max_input_tokens")), _count(entry.get("max_output_tokens"))

    def rates(self, provider: str, name: str) -> Rates | None:
        """Its prices, rounded to a whole pico; None when it does not know the model."""
        entry = self.entry(provider, name)
        if entry is None:
            return None
        rates: Rates = {}
        for key, value in entry.items():
            match = _KEY.fullmatch(key)
            if match is None or not isinstance(value, Decimal | int):
                continue
            place = (int(match[2] or 0) * 1000, _PREFIXES[match[1]])
            rates[place] = max(rates.get(place, 0), round(value * 10**12))
        return rates

    def notes(self, provider: str, name: str) -> Iterator[str]:
        """What makes a request dearer than its price, and is refused or must be priced by hand."""
        entry = self.entry(provider, name) or {}
        geography = entry.get("provider_specific_entry")
        if isinstance(geography, dict) and "us" in geography:
            yield f"inference in us costs x {geography['us']}: raise the price if yours is there"
        for place in ("us", "eu"):
            if times := entry.get(f"regional_processing_uplift_multiplier_{place}"):
                yield f"processing in {place} costs x {times}: raise the price if yours is there"
        if any("_above_12hr" in key for key in entry):
            yield "a cache of 12 hours not sold"
        if any(key.endswith("_ultrafast") for key in entry):
            yield "service_tier=ultrafast not sold"


def disagreements(ours: Rates, theirs: Rates) -> Iterator[tuple[int, str, int, int]]:
    """(tier, unit, ours, theirs) where both name a rate and it is not the same."""
    for place in sorted(ours.keys() & theirs.keys()):
        if ours[place] != theirs[place]:
            yield (*place, ours[place], theirs[place])
    tiers = {start for start, _ in ours}
    for start, unit in sorted(theirs.keys() - ours.keys()):
        if start and start not in tiers and (0, unit) in ours:
            # A tier that only one of them knows is the dearer half of a model.
            yield start, unit, ours[0, unit], theirs[start, unit]


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _version() -> str:
    try:
        return version("litellm")
    except PackageNotFoundError:
        return "unknown"
