"""What a valid farebox.toml says, in typed and exact terms.

Prices of tokens are integer pico per token in the catalogue's currency; amounts are integer nanos
of their unit; money asked by card is integer minor units of its currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Ratio = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_s: float
    first_byte_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class UpstreamPrice:
    """Pico per token, and the largest input and output of the model in tokens."""

    input_pico: int
    cached_input_pico: int
    output_pico: int
    max_input: int
    max_output: int


@dataclass(frozen=True, slots=True)
class Upstream:
    name: str
    shape: str
    base_url: str
    key_env: str
    timeouts: Timeouts
    prices: Mapping[str, UpstreamPrice]


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream and the name it knows the model by."""

    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    rule: str
    routes: tuple[Route, ...]
    default_max_output: int


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee for each call in its own currency, minor units; kept outside the balance."""

    currency: str
    minor: int
    schedule: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint sold at a fixed price: `price` is nanos of one call, for each unit."""

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
