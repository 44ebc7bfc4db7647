"""What payments answers is what the billing API tells: both sides are the real ones."""

import json
from datetime import UTC, datetime

import pytest

from libs.catalogue import parse
from libs.events.ids import new_id
from services.gateway.billing.purchases import Packs, TopUp
from services.payments.orders import Order
from services.payments.requests import Desk, order_data
from tests.support.catalogue import EXAMPLE


@pytest.mark.requirement("PAY-1")
async def test_packs_are_told_as_payments_tells_them():
    desk = Desk(parse(EXAMPLE), None, None, None, None)
    question = {"account_id": new_id("acct"), "unit": "CREDIT", "plan": "studio"}
    data = await desk.packs(json.dumps(question).encode())
    told = Packs.model_validate(data)
    assert [pack.id for pack in told.packs] == ["credits-100", "credits-500", "credits-2000"]
    assert (told.packs[0].gives, told.packs[0].prices) == ("100", {"EUR": "1.90", "USD": "2.00"})
    assert told.model_dump() == data


@pytest.mark.parametrize("state", ["created", "open", "credited", "expired", "quarantined"])
def test_an_order_is_told_as_payments_tells_it(state):
    order = Order(
        order_id=new_id("topup"), account_id=new_id("acct"), unit="USD", pack="usd-10",
        credits=10**10, currency="USD", price=1000, shelf_months=12, catalogue="c" * 64,
        state=state, customer=None, session_id=None, checkout_url="https://pay.example/1",
        payment_intent=None, grant_id=None, error=None,
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip
    told = TopUp.model_validate(order_data(order))
    assert (told.gives, told.price, told.state) == ("10.00", "10.00", state)
    assert (told.checkout_url is None) == (state != "open")
