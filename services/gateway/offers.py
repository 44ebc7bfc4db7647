"""What an account may buy here, at which price, and by which route."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from libs.catalogue import (
    Catalogue,
    Model,
    Operation,
    Plan,
    Upstream,
    UpstreamPrice,
    Usage,
    charge_nanos,
    cost_pico,
    margin_nanos,
    most_pico,
)
from libs.catalogue.pricing import step
from services.gateway.errors import Refusal, unknown_item
from services.gateway.keys import KeyInfo

MODEL_SHAPES: Final = ("openai", "anthropic")
"""The shapes of upstreams that serve models."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Nanos of the account's unit, and the upstream's exact cost in pico of its currency."""

    charge: int
    margin: int
    cost_pico: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream that can serve a model, the name it knows the model by, and its price."""

    upstream: Upstream
    upstream_model: str
    price: UpstreamPrice
    weight: int | None = None
    """Its share of the first tries; None: routes are tried in order."""

    @property
    def route(self) -> str:
        return f"{self.upstream.name}/{self.upstream_model}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One model as one plan sells it: `candidates` in the order they are tried."""

    name: str
    unit: str
    margin_bps: int
    conversion: tuple[int, int]
    candidates: tuple[Candidate, ...]
    default_cap: int
    on_disconnect: Literal["drain", "cancel"] = "drain"

    @property
    def max_input(self) -> int:
        return max(candidate.price.max_input for candidate in self.candidates)

    @property
    def max_output(self) -> int:
        return max(candidate.price.max_output for candidate in self.candidates)

    def charge(self, usage: Usage, candidate: Candidate) -> Charge:
        """What the customer pays for `usage` on a candidate, rounded up once (PRC-1)."""
        cost = cost_pico(candidate.price, usage)
        charge = charge_nanos(cost, self.margin_bps, self.unit, self.conversion)
        return Charge(charge, margin_nanos(charge, cost, self.conversion), cost)

    def most(
        self, input_tokens: int, output_tokens: int, *, images: int = 0, hour_cache: bool = False
    ) -> int:
        """The most nanos that so many tokens can cost on any candidate; at least one step."""
        cost = max(
            most_pico(
                candidate.price, input_tokens, output_tokens, images=images, hour_cache=hour_cache
            )
            for candidate in self.candidates
        )
        charge = charge_nanos(cost, self.margin_bps, self.unit, self.conversion)
        # A hold of nothing cannot be made.
        return max(charge, step(self.unit))


class Offers:
    """All that the catalogue sells, looked up by plan and name."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._models = {
            (plan.name, name, shape): offer
            for plan in catalogue.plans.values()
            for name in plan.sells
            for shape in MODEL_SHAPES
            if (offer := _offer(catalogue, plan, name, shape)) is not None
        }
        self._plans = catalogue.plans

    def model(self, key: KeyInfo, name: str, shape: str) -> Offer:
        """The model as the key's account buys it, by the candidates that speak `shape`.

        Raises:
            Refusal: 403 the key is not for this; 404 unknown, or not sold to this account.
        """
        _check_purpose(key)
        offer = self._models.get((key.plan, name, shape))
        if offer is None or offer.unit != key.unit:
            raise unknown_item(name)
        _check_allowed(key, name, "model_not_allowed")
        return offer

    def operation(self, key: KeyInfo, operation: Operation) -> int:
        """The price in nanos of one call for the key's account; raises like `model`."""
        _check_purpose(key)
        plan = self._plans.get(key.plan)
        price = operation.price.get(key.unit)
        if plan is None or operation.name not in plan.sells or price is None:
            raise unknown_item(operation.name)
        _check_allowed(key, operation.name, "operation_not_allowed")
        return price


def _offer(catalogue: Catalogue, plan: Plan, name: str, shape: str) -> Offer | None:
    model = catalogue.models.get(name)
    if model is None:
        return None
    same = plan.unit == catalogue.currency
    conversion = (1, 1) if same else catalogue.conversion.get(plan.unit)
    candidates = tuple(_candidates(catalogue, model, shape))
    if conversion is None or not candidates:
        return None
    return Offer(
        name=name,
        unit=plan.unit,
        margin_bps=plan.margin_bps,
        conversion=conversion,
        candidates=candidates,
        default_cap=model.default_max_output,
        on_disconnect=model.on_disconnect,
    )


def _candidates(catalogue: Catalogue, model: Model, shape: str) -> Iterator[Candidate]:
    for index, route in enumerate(model.routes):
        upstream = catalogue.upstreams[route.upstream]
        if upstream.shape == shape:
            weight = None if model.weights is None else model.weights[index]
            yield Candidate(upstream, route.model, upstream.prices[route.model], weight)


def _check_purpose(key: KeyInfo) -> None:
    if key.purpose != "inference":
        message = f"This is a key for purpose '{key.purpose}'; use an inference key here."
        raise Refusal(403, "scope_missing", message)


def _check_allowed(key: KeyInfo, name: str, code: str) -> None:
    if key.allowed is not None and name not in key.allowed:
        raise Refusal(403, code, f"This key may not use '{name}'.", param="model")
