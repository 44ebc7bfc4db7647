"""What `farebox init` asks, and the form of each answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_MOST: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Provider:
    """A kind of upstream: its shape in farebox.toml, and where it usually is.

    `own`: it runs on the operator's machines, so its prices are retail prices, and it may know a
    cap of the output by its older name only. `tiers`: it sells tiers at other prices.
    """

    name: str
    says: str
    shape: str
    base_url: str
    own: bool = False
    tiers: bool = False

    @property
    def key_env(self) -> str:
        return f"FAREBOX_UPSTREAM_{self.name.upper()}_KEY"


PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            "openai", "OpenAI, or an API like it", "openai", "https://api.openai.com/v1", tiers=True
        ),
        Provider("anthropic", "Anthropic", "anthropic", "https://api.anthropic.com/v1", tiers=True),
        Provider("ollama", "Ollama on this machine", "openai", "http://127.0.0.1:11434/v1", True),
        Provider("vllm", "vLLM on this machine", "openai", "http://127.0.0.1:8000/v1", True),
        Provider("http", "any other HTTP API, at a price a call", "http", "http://127.0.0.1:9000"),
    )
}


@dataclass(frozen=True, slots=True)
class Answers:
    """The five answers; prices are decimal texts in USD.

    `item`: the model sold, or the path of the operation. `prices`: per million input and output
    tokens, or of one call twice. `pack`: what one pack costs and gives.
    """

    provider: Provider
    base_url: str
    item: str
    prices: tuple[str, str]
    margin_bps: int
    pack: str


def provider_of(text: str) -> Provider:
    provider = PROVIDERS.get(text.strip().lower())
    if provider is None:
        raise ValueError(f'"{text}" is not one of {", ".join(PROVIDERS)}')
    return provider


def url_of(text: str) -> str:
    text = text.strip().rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@\"\\]+(/[^\s?#\"\\]*)?", text):
        raise ValueError(f'"{text}" is not an address like https://api.example.com/v1')
    return text


def model_of(text: str) -> str:
    if not _MODEL.fullmatch(text.strip()):
        raise ValueError(f'"{text}" is not the name of a model, such as swift-1')
    return text.strip()


def path_of(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text.strip()):
        raise ValueError(f'"{text}" is not a path like /v1/score')
    return text.strip()


def prices_of(text: str) -> tuple[str, str]:
    """`0.25/2.00`: dollars per million input and output tokens."""
    first, slash, second = text.partition("/")
    if not slash:
        raise ValueError(f'"{text}" is not two prices with a / between, such as 0.25/2.00')
    return price_of(first), price_of(second)


def price_of(text: str) -> str:
    """A decimal text of dollars, zero or more, with at most six decimals."""
    return _decimal(text, least=Decimal(0), places=6)


def pack_of(text: str) -> str:
    """Dollars a pack costs: whole cents, above zero."""
    return _decimal(text, least=Decimal("0.01"), places=2)


def margin_of(text: str) -> int:
    """A percentage with at most two decimals, in basis points."""
    percent = _decimal(text.strip().rstrip("%"), least=Decimal(0), places=2)
    if Decimal(percent) > 1000:
        raise ValueError(f"{text} is more than 1000 %")
    return int(Decimal(percent) * 100)


def _decimal(text: str, *, least: Decimal, places: int) -> str:
    text = text.strip().lstrip("$")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'"{text}" is not a number such as 0.25') from None
    if not value.is_finite() or not least <= value <= _MOST:
        raise ValueError(f'"{text}" is out of bounds')
    if value != round(value, places):
        raise ValueError(f'"{text}" has more than {places} decimals')
    return f"{value:f}"
