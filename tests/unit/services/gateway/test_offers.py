"""What a plan sells, by its plan, its unit and the key's own list."""

from dataclasses import replace

import pytest

from libs.catalogue import Usage, parse
from libs.events.ids import new_id
from services.gateway.errors import Refusal
from services.gateway.keys import KeyInfo
from services.gateway.offers import Offers
from tests.support.catalogue import EXAMPLE

CATALOGUE = parse(EXAMPLE)
OFFERS = Offers(CATALOGUE)
SCORE = CATALOGUE.operations["score-image"]
KEY = KeyInfo(
    new_id("key"), new_id("acct"), "inference", None, "USD", "payg", "active", "open", None, 1
)
STUDIO = replace(KEY, unit="CREDIT", plan="studio")


def refused(call, *args) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.status, caught.value.code


@pytest.mark.requirement("PRC-1")
def test_a_model_costs_the_upstreams_price_and_the_plans_margin():
    offer = OFFERS.model(KEY, "swift-1", "openai")
    charge = offer.charge(Usage(1200, 0, 350), offer.candidates[0])
    assert (charge.cost_pico, charge.charge, charge.margin) == (10**9, 1_100_000, 100_000)
    assert (offer.candidates[0].route, offer.default_cap) == ("north/swift-1", 4096)


def test_an_operation_costs_its_price_in_the_accounts_unit():
    assert OFFERS.operation(STUDIO, SCORE) == 10**9


@pytest.mark.requirement("PRC-7")
def test_what_is_not_sold_is_404():
    not_found = (404, "model_not_found")
    assert refused(OFFERS.model, KEY, "grand-9", "openai") == not_found
    assert refused(OFFERS.model, KEY, "score-image", "openai") == not_found
    assert refused(OFFERS.model, STUDIO, "swift-1", "openai") == not_found
    assert refused(OFFERS.model, replace(KEY, plan="gone"), "swift-1", "openai") == not_found
    assert refused(OFFERS.model, replace(KEY, unit="EUR"), "swift-1", "openai") == not_found
    assert refused(OFFERS.operation, KEY, SCORE) == not_found
    assert refused(OFFERS.operation, replace(STUDIO, plan="gone"), SCORE) == not_found
    assert refused(OFFERS.operation, replace(STUDIO, unit="USD"), SCORE) == not_found


@pytest.mark.parametrize("purpose", ["account", "service"])
def test_other_keys_are_not_for_spending(purpose: str):
    key = replace(STUDIO, purpose=purpose)
    assert refused(OFFERS.operation, key, SCORE) == (403, "scope_missing")
    assert refused(OFFERS.model, key, "swift-1", "openai") == (403, "scope_missing")


def test_a_key_may_be_for_some_things_only():
    assert OFFERS.operation(replace(STUDIO, allowed=("score-image",)), SCORE) == 10**9
    other = replace(STUDIO, allowed=("other",))
    assert refused(OFFERS.operation, other, SCORE) == (403, "operation_not_allowed")
