"""What an account may buy here, at which price, and by which route."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from libs.catalogue import (
    Catalogue,
    Model,
    Operation,
    Plan,
    Tariff,
    Upstream,
    UpstreamPrice,
    Usage,
    charge_nanos,
    cost_pico,
    margin_nanos,
    most_pico,
)
from libs.catalogue.images import Size, image_tokens
from libs.catalogue.pricing import step
from libs.events.money import MAX_AMOUNT
from services.gateway.errors import Refusal, invalid, unknown_item
from services.gateway.keys import KeyInfo

MODEL_SHAPES: Final = ("openai", "anthropic")
"""The shapes of upstreams that serve models."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Nanos of the account's unit, and the upstream's exact cost in pico of its currency.

    A cost that is not known is None, and there is no margin to tell.
    """

    charge: int
    margin: int
    cost_pico: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream that can serve a model, the name it knows the model by, and its price.

    `own` is the price of rule `retail`, in the account's unit, within the upstream's limits.
    """

    upstream: Upstream
    upstream_model: str
    price: UpstreamPrice
    own: UpstreamPrice | None = None
    weight: int | None = None
    """Its share of the first tries; None: routes are tried in order."""

    @property
    def route(self) -> str:
        return f"{self.upstream.name}/{self.upstream_model}"

    @property
    def charged(self) -> UpstreamPrice:
        """The price that the customer's charge is counted by."""
        return self.own or self.price


@dataclass(frozen=True, slots=True)
class Offer:
    """One model as one plan sells it: `candidates` in the order they are tried.

    `conversion` is the ratio from the currency of upstream prices to `unit`, where there is one.
    By rule `retail` the candidates' own prices are the charge, without a margin on top.
    """

    name: str
    unit: str
    margin_bps: int
    conversion: tuple[int, int] | None
    candidates: tuple[Candidate, ...]
    default_cap: int
    retail: bool = False
    on_disconnect: Literal["drain", "cancel"] = "drain"

    @property
    def max_input(self) -> int:
        return max(candidate.price.max_input for candidate in self.candidates)

    @property
    def max_output(self) -> int:
        return max(candidate.price.max_output for candidate in self.candidates)

    def charge(self, usage: Usage, candidate: Candidate) -> Charge:
        """What the customer pays for `usage` on a candidate, rounded up once (PRC-1)."""
        pico = cost_pico(candidate.charged, usage)
        charge = self._nanos(pico)
        if not candidate.price.known:
            return Charge(charge, 0, None)
        cost = pico if candidate.own is None else cost_pico(candidate.price, usage)
        if self.conversion is None:
            return Charge(charge, 0, cost)
        return Charge(charge, margin_nanos(charge, cost, self.conversion), cost)

    def most(
        self, input_tokens: int, output_tokens: int, *, images: int = 0, hour_cache: bool = False
    ) -> int:
        """The most nanos that so many tokens can cost on any candidate; at least one step."""
        most = max(
            most_pico(
                candidate.charged, input_tokens, output_tokens, images=images, hour_cache=hour_cache
            )
            for candidate in self.candidates
        )
        amount = self._nanos(most)
        if amount > MAX_AMOUNT:
            raise invalid("This request may cost more than any account can hold; ask for less.")
        # A hold of nothing cannot be made.
        return max(amount, step(self.unit))

    def _nanos(self, pico: int) -> int:
        """From pico of the price to a charge."""
        if self.retail:
            return charge_nanos(pico, 0, self.unit)
        assert self.conversion is not None, "cost_plus without a conversion is refused at start"
        return charge_nanos(pico, self.margin_bps, self.unit, self.conversion)

    def image_tokens(self, sizes: Sequence[Size | None]) -> int | None:
        """The most input tokens that images of these sizes count; None: it takes no images."""
        counts = [_image_tokens(candidate.price, sizes) for candidate in self.candidates]
        return None if None in counts else max(count or 0 for count in counts)


def _image_tokens(price: UpstreamPrice, sizes: Sequence[Size | None]) -> int | None:
    most = price.image_tokens_max
    if most is None:
        return None
    return sum(image_tokens(size, price.image_tokens_rule, most) for size in sizes)


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
        self._at_cost = {
            (name, shape): offer
            for name, model in catalogue.models.items()
            for shape in MODEL_SHAPES
            if (offer := _at_cost(catalogue, model, shape)) is not None
        }

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

    def attached(self, key: KeyInfo, name: str, shape: str) -> Offer:
        """The model at what it costs us, in the catalogue's currency, whatever the plan sells."""
        offer = self._at_cost.get((name, shape))
        if offer is None:
            raise unknown_item(name)
        _check_allowed(key, name, "model_not_allowed")
        return offer

    def models(self, key: KeyInfo, shape: str) -> list[str]:
        """The names of all models that `model` sells to the key, in their order.

        Raises Refusal: 403 the key is not for this.
        """
        _check_purpose(key)
        return sorted(
            name
            for (plan, name, spoken), offer in self._models.items()
            if (plan, spoken, offer.unit) == (key.plan, shape, key.unit)
            and (key.allowed is None or name in key.allowed)
        )

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
    candidates = tuple(_candidates(catalogue, model, shape, plan.unit))
    if not candidates:
        return None
    return Offer(
        name=name,
        unit=plan.unit,
        margin_bps=plan.margin_bps,
        conversion=(1, 1) if same else catalogue.conversion.get(plan.unit),
        candidates=candidates,
        default_cap=model.default_max_output,
        retail=model.rule == "retail",
        on_disconnect=model.on_disconnect,
    )


def _at_cost(catalogue: Catalogue, model: Model, shape: str) -> Offer | None:
    """Without the candidates of which nobody knows what they cost."""
    candidates = tuple(
        replace(candidate, own=None)
        for candidate in _candidates(catalogue, model, shape, catalogue.currency)
        if candidate.price.known
    )
    if not candidates:
        return None
    return Offer(
        name=model.name,
        unit=catalogue.currency,
        margin_bps=0,
        conversion=(1, 1),
        candidates=candidates,
        default_cap=model.default_max_output,
        on_disconnect=model.on_disconnect,
    )


def _candidates(catalogue: Catalogue, model: Model, shape: str, unit: str) -> Iterator[Candidate]:
    own = model.retail.get(unit)
    for index, route in enumerate(model.routes):
        upstream = catalogue.upstreams[route.upstream]
        price = upstream.prices[route.model]
        if upstream.shape == shape:
            weight = None if model.weights is None else model.weights[index]
            yield Candidate(upstream, route.model, price, _own_price(price, own), weight)


def _own_price(price: UpstreamPrice, own: Tariff | None) -> UpstreamPrice | None:
    if own is None:
        return None
    return replace(price, rates=own.rates, tiers=own.tiers, known=True)


def _check_purpose(key: KeyInfo) -> None:
    if key.purpose != "inference":
        message = f"This is a key for purpose '{key.purpose}'; use an inference key here."
        raise Refusal(403, "scope_missing", message)


def _check_allowed(key: KeyInfo, name: str, code: str) -> None:
    if key.allowed is not None and name not in key.allowed:
        raise Refusal(403, code, f"This key may not use '{name}'.", param="model")
