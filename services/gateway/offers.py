"""What an account may buy here, at which price, and by which route."""

from dataclasses import dataclass

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
)
from services.gateway.errors import Refusal, unknown_item
from services.gateway.keys import KeyInfo


@dataclass(frozen=True, slots=True)
class Charge:
    """Nanos of the account's unit, and the upstream's exact cost in pico of its currency."""

    charge: int
    margin: int
    cost_pico: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One model as one plan sells it."""

    name: str
    unit: str
    margin_bps: int
    conversion: tuple[int, int]
    upstream: Upstream
    upstream_model: str
    price: UpstreamPrice
    default_cap: int

    @property
    def route(self) -> str:
        return f"{self.upstream.name}/{self.upstream_model}"

    def charge(self, usage: Usage) -> Charge:
        """What the customer pays for `usage`, rounded up once (PRC-1)."""
        cost = cost_pico(self.price, usage)
        charge = charge_nanos(cost, self.margin_bps, self.unit, self.conversion)
        return Charge(charge, margin_nanos(charge, cost, self.conversion), cost)


class Offers:
    """All that the catalogue sells, looked up by plan and name."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._models = {
            (plan.name, name): offer
            for plan in catalogue.plans.values()
            for name in plan.sells
            if (offer := _offer(catalogue, plan, name)) is not None
        }
        self._plans = catalogue.plans
        self._at_cost = {
            name: _at_cost(catalogue, model) for name, model in catalogue.models.items()
        }

    def model(self, key: KeyInfo, name: str) -> Offer:
        """The model as the key's account buys it.

        Raises:
            Refusal: 403 the key is not for this; 404 unknown, or not sold to this account.
        """
        _check_purpose(key)
        offer = self._models.get((key.plan, name))
        if offer is None or offer.unit != key.unit:
            raise unknown_item(name)
        _check_allowed(key, name, "model_not_allowed")
        return offer

    def attached(self, key: KeyInfo, name: str) -> Offer:
        """The model at what it costs us, in the catalogue's currency, whatever the plan sells."""
        offer = self._at_cost.get(name)
        if offer is None:
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


def _offer(catalogue: Catalogue, plan: Plan, name: str) -> Offer | None:
    model = catalogue.models.get(name)
    if model is None:
        return None
    same = plan.unit == catalogue.currency
    conversion = (1, 1) if same else catalogue.conversion.get(plan.unit)
    if conversion is None:
        return None
    route = model.routes[0]
    upstream = catalogue.upstreams[route.upstream]
    return Offer(
        name=name,
        unit=plan.unit,
        margin_bps=plan.margin_bps,
        conversion=conversion,
        upstream=upstream,
        upstream_model=route.model,
        price=upstream.prices[route.model],
        default_cap=model.default_max_output,
    )


def _at_cost(catalogue: Catalogue, model: Model) -> Offer:
    route = model.routes[0]
    upstream = catalogue.upstreams[route.upstream]
    return Offer(
        name=model.name,
        unit=catalogue.currency,
        margin_bps=0,
        conversion=(1, 1),
        upstream=upstream,
        upstream_model=route.model,
        price=upstream.prices[route.model],
        default_cap=model.default_max_output,
    )


def _check_purpose(key: KeyInfo) -> None:
    if key.purpose != "inference":
        message = f"This is a key for purpose '{key.purpose}'; use an inference key here."
        raise Refusal(403, "scope_missing", message)


def _check_allowed(key: KeyInfo, name: str, code: str) -> None:
    if key.allowed is not None and name not in key.allowed:
        raise Refusal(403, code, f"This key may not use '{name}'.", param="model")
