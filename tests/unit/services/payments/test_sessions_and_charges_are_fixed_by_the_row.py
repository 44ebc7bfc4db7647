from dataclasses import replace
from datetime import UTC, datetime

import pytest

from libs.catalogue.load import parse
from services.payments.attempts import Attempt
from services.payments.checkout import payment_params
from services.payments.collect import charge_params, recharge_terms
from services.payments.links import Links
from services.payments.orders import Order
from tests.support.catalogue import EXAMPLE
from tests.support.stripe_types import param_problems

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ORDER = Order(
    order_id="topup_1",
    account_id="acct_1",
    unit="CREDIT",
    pack="credits-100",
    credits=100_000_000_000,
    currency="USD",
    price=200,
    shelf_months=12,
    catalogue="0" * 64,
    state="created",
    customer="cus_1",
    session_id=None,
    checkout_url=None,
    payment_intent=None,
    grant_id=None,
    error=None,
    created_at=NOW,
)
ATTEMPT = Attempt(
    attempt_id="rchg_1",
    account_id="acct_1",
    credits=500_000_000_000,
    currency="USD",
    price=800,
    started_at=NOW,
    seen_at=NOW,
    state="open",
    frozen_at=NOW,
    customer="cus_1",
    payment_method="pm_1",
    pack="credits-500",
    shelf_months=12,
    catalogue="0" * 64,
    payment_intent=None,
    tries=1,
)


def test_the_order_id_goes_into_session_and_payment():
    params = payment_params(ORDER, "cus_1", Links("http://pay.test"))
    assert params["metadata"] == {"order_id": "topup_1"}
    assert params["payment_intent_data"]["metadata"] == {"order_id": "topup_1"}
    assert params["client_reference_id"] == "topup_1"
    assert params["success_url"] == "http://pay.test/return?session_id={CHECKOUT_SESSION_ID}"
    price = params["line_items"][0]["price_data"]
    assert (price["currency"], price["unit_amount"]) == ("usd", 200)
    assert price["product_data"]["name"] == "100 credits"


def test_the_card_is_saved_for_recharges():
    params = payment_params(ORDER, "cus_1", Links("http://pay.test"))
    assert params["payment_intent_data"]["setup_future_usage"] == "off_session"


def test_a_charge_is_off_session_and_names_its_attempt():
    params = charge_params(ATTEMPT)
    assert (params["amount"], params["currency"]) == (800, "usd")
    assert params["off_session"] is True
    assert params["confirm"] is True
    assert params["metadata"]["attempt_id"] == "rchg_1"


def test_a_later_try_of_the_same_row_is_the_same_to_the_letter():
    assert charge_params(ATTEMPT) == charge_params(replace(ATTEMPT, tries=9))
    links = Links("http://pay.test")
    assert payment_params(ORDER, "cus_1", links) == payment_params(
        replace(ORDER, state="open"), "cus_1", links
    )


def test_what_is_sent_exists_in_the_sdks_parameters():
    params = payment_params(ORDER, "cus_1", Links("http://pay.test"))
    assert param_problems("POST", "/v1/checkout/sessions", params) == []
    assert param_problems("POST", "/v1/payment_intents", charge_params(ATTEMPT)) == []


@pytest.mark.parametrize(
    ("plan", "chosen", "terms"),
    [
        ("studio", None, ("credits-500", 12)),
        ("studio", "credits-100", ("credits-100", 12)),
        ("payg", None, (None, 12)),
        ("gone", None, (None, 12)),
        ("gone", "gone", (None, 12)),
    ],
)
def test_recharged_credits_last_as_long_as_bought_ones(plan, chosen, terms):
    assert recharge_terms(parse(EXAMPLE), plan, chosen) == terms
