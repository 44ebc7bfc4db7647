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


OWN = """rule = "retail"
retail.USD = { input = "1.00", output = "3.00" }
retail.CREDIT = { input = "100", output = "300" }"""
UNKNOWN_COST = ('input = "0.25", cached_input = "0.025", output = "2.00", ', "")
USAGE = Usage(1200, 0, 350)


def offer_of(plan: KeyInfo, *changes: tuple[str, str]):
    text = EXAMPLE.replace('sells = ["score-image"]', 'sells = ["score-image", "swift-1"]')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return Offers(parse(text)).model(plan, "swift-1", "openai")


@pytest.mark.requirement("PRC-9")
def test_own_prices_are_charged_without_a_margin_and_the_rest_over_cost_is_told():
    offer = offer_of(KEY, ('rule = "cost_plus"', OWN))
    charge = offer.charge(USAGE, offer.candidates[0])
    assert (charge.charge, charge.cost_pico, charge.margin) == (2_250_000, 10**9, 1_250_000)
    assert offer.most(1200, 350) == 2_250_000


@pytest.mark.requirement("PRC-9")
def test_a_cost_that_is_not_known_is_told_as_such():
    offer = offer_of(KEY, ('rule = "cost_plus"', OWN), UNKNOWN_COST)
    charge = offer.charge(USAGE, offer.candidates[0])
    assert (charge.charge, charge.cost_pico, charge.margin) == (2_250_000, None, 0)


@pytest.mark.requirement("PRC-9")
def test_own_prices_in_credits_round_up_to_a_whole_one_once():
    offer = offer_of(STUDIO, ('rule = "cost_plus"', OWN))
    charge = offer.charge(USAGE, offer.candidates[0])
    # 0.225 credits; what they are worth in the currency of the cost is not known.
    assert (charge.charge, charge.cost_pico, charge.margin) == (10**9, 10**9, 0)
    assert offer.charge(Usage(5000, 0, 2000), offer.candidates[0]).charge == 2 * 10**9


@pytest.mark.requirement("PRC-9")
def test_cost_and_margin_become_credits_by_the_catalogues_ratio():
    ratio = ('currency = "USD"', 'currency = "USD"\nconversion.CREDIT = [1000, 1]')
    offer = offer_of(STUDIO, ratio)
    charge = offer.charge(USAGE, offer.candidates[0])
    # 0.001 USD and 10 % are 1.1 credits: charged as 2, of which 1 is cost.
    assert (charge.charge, charge.cost_pico, charge.margin) == (2 * 10**9, 10**9, 10**9)
