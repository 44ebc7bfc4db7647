"""What a valid farebox.toml says, in typed and exact terms.

Prices of tokens are integer pico per token in the catalogue's currency; amounts are integer nanos
of their unit; money asked by card is integer minor units of its currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Ratio = tuple[int, int]

KINDS: Final = (
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "image_input",
    "output",
    "image_output",
)
"""The kinds of tokens that have a rate, in the order they are told."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_s: float
    first_byte_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico for each token of a kind; `image` is pico for each image of an answer.

    Tokens read from a cache, written to one (for minutes, or for an hour) and of images are kinds
    of input tokens; tokens of an image that is made are a kind of output tokens.
    """

    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    image_input: int
    image_output: int
    image: int = 0

    @classmethod
    def plain(cls, input: int, output: int, cached_input: int | None = None) -> "Rates":  # noqa: A002 - the field's own name
        """Rates of text alone: what is not named costs what plain tokens do."""
        cached = input if cached_input is None else cached_input
        return cls(input, output, cached, input, input, input, output)

    def dearest_input(self, *, hour_cache: bool) -> int:
        """The most an input token can cost, whatever kind it turns out to be."""
        dearest = max(self.input, self.cached_input, self.cache_write, self.image_input)
        return max(dearest, self.cache_write_1h) if hour_cache else dearest

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.image_output)


@dataclass(frozen=True, slots=True)
class UpstreamPrice:
    """What an upstream charges for a model, and the model's largest input and output in tokens.

    `tiers` are (start, rates), ascending: above `start` input tokens they hold for all tokens.
    One image counts at most `image_tokens_max` input tokens; without that none can be taken.
    Where it is not `known` what the upstream charges, only the limits mean anything.
    """

    rates: Rates
    max_input: int
    max_output: int
    tiers: tuple[tuple[int, Rates], ...] = ()
    known: bool = True
    image_tokens_max: int | None = None
    image_tokens_rule: str | None = None

    def rates_at(self, input_tokens: int) -> Rates:
        """The rates of a request with that many input tokens."""
        found = self.rates
        for start, rates in self.tiers:
            if input_tokens > start:
                found = rates
        return found


@dataclass(frozen=True, slots=True)
class Tariff:
    """Own prices of a model in one unit: pico of the unit where an upstream has its currency's."""

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...]


@dataclass(frozen=True, slots=True)
class Upstream:
    name: str
    shape: str
    base_url: str
    key_env: str
    timeouts: Timeouts
    prices: Mapping[str, UpstreamPrice]
    cap_field: str = "max_completion_tokens"
    """What caps the output of a chat completion there."""
    tier: str = "project"
    """What tier a request gets that names none: `standard`, or what the `project` is set to."""


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream and the name it knows the model by."""

    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class Model:
    """`retail` holds the own prices of rule `retail`, for each unit."""

    name: str
    rule: str
    routes: tuple[Route, ...]
    default_max_output: int
    retail: Mapping[str, Tariff]
    weights: tuple[int, ...] | None = None
    on_disconnect: Literal["drain", "cancel"] = "drain"


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee for each call in its own currency, minor units; kept outside the balance."""

    currency: str
    minor: int
    schedule: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Something sold at a fixed price: `price` is nanos of one call, for each unit.

    `path` is empty where no endpoint of the gateway serves it: services reserve it themselves.
    `attached_cost_ceiling` is nanos of the catalogue's currency.
    """

    name: str
    method: str
    path: str
    upstream: str
    upstream_path: str
    price: Mapping[str, int]
    success: tuple[str, ...]
    timeout_s: float
    unsettled: Literal["release", "charge"]
    fee: Fee | None
    attached_cost_ceiling: int | None = None

    def is_success(self, status: int) -> bool:
        """Whether a call answered with this HTTP status is charged."""
        text = str(status)
        return text in self.success or f"{text[0]}xx" in self.success


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast an account may call: `requests` each `per_ms`, `concurrent` of them at once."""

    requests: int
    per_ms: int
    concurrent: int


DEFAULT_LIMITS: Final = Limits(requests=10, per_ms=60_000, concurrent=8)
"""Of a plan that says nothing about them, as the grammar has them too."""


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    unit: str
    margin_bps: int
    sells: frozenset[str]
    packs: tuple[str, ...]
    recharge_pack: str | None
    limits: Limits
    initial: int | None


@dataclass(frozen=True, slots=True)
class Pack:
    """`gives` nanos of `unit`; `price` is minor units for each currency offered."""

    name: str
    unit: str
    gives: int
    price: Mapping[str, int]
    shelf_months: int | None


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    partitions: int


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Listen addresses are (host, port); `body_max` is bytes."""

    listen: tuple[str, int]
    admin_listen: tuple[str, int]
    workers: int
    body_max: int
    public_url: str | None


@dataclass(frozen=True, slots=True)
class PaymentsConfig:
    listen: tuple[str, int]
    public_url: str | None


@dataclass(frozen=True, slots=True)
class RechargeConfig:
    """`sweep_s` is whole seconds."""

    sweep_s: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything farebox.toml says; `hash` names what is sold and at which price.

    `conversion` holds, for each unit, the integer ratio from the currency of upstream prices.
    """

    hash: str
    text: str
    """What `hash` is the SHA-256 of: canonical JSON."""
    currency: str
    conversion: Mapping[str, Ratio]
    upstreams: Mapping[str, Upstream]
    models: Mapping[str, Model]
    operations: Mapping[str, Operation]
    plans: Mapping[str, Plan]
    packs: Mapping[str, Pack]
    ledger: LedgerConfig
    gateway: GatewayConfig
    payments: PaymentsConfig
    recharge: RechargeConfig
