"""Money that is not what was ordered is kept for a person, never credited (PAY-2)."""

import pytest

pytestmark = pytest.mark.requirement("PAY-2")


async def quarantined(world):
    rows = await world.pool.fetch(
        "select error from payments.inbox where state = 'quarantined' order by error"
    )
    return [row["error"] for row in rows]


@pytest.mark.parametrize(
    ("field", "value"), [("amount", 199), ("amount_received", 199), ("currency", "eur")]
)
async def test_a_wrong_amount_or_currency_is_quarantined(world, ledger, field, value):
    order = await world.buy()
    session = world.fake.store.get("checkout.session", order.session_id)
    world.fake.store.get("payment_intent", session["payment_intent"])[field] = value
    await world.deliver()
    assert ledger.grants(world.account) == []
    assert len(await quarantined(world)) == 2
    assert all(field in error for error in await quarantined(world))
    after = await world.parts.orders.get(order.order_id)
    assert (after.state, field in after.error) == ("quarantined", True)


async def test_a_discounted_session_is_quarantined(world, ledger):
    order = await world.buy()
    session = world.fake.store.get("checkout.session", order.session_id)
    session["amount_total"] = 100
    world.fake.store.get("payment_intent", session["payment_intent"])["amount_received"] = 100
    await world.deliver()
    assert ledger.grants(world.account) == []
    assert len(await quarantined(world)) == 2


async def test_the_price_is_the_orders_not_todays(world, ledger):
    """What metadata says about amounts is never read; the row decides."""
    order = await world.buy()
    await world.pool.execute(
        "update payments.orders set price = 100 where order_id = $1", order.order_id
    )
    await world.deliver()
    assert ledger.grants(world.account) == []


async def test_a_payment_without_an_order_is_stored_and_quarantined(world, ledger):
    customer = await world.stripe.create_customer("acct_other")
    method = world.fake.methods.attach({"customer": customer}, "pm_card_visa")
    world.fake.intents.create(
        {
            "amount": "500",
            "currency": "usd",
            "customer": customer,
            "payment_method": method["id"],
            "confirm": "true",
            "metadata": {"order_id": "topup_" + "9" * 32},
        }
    )
    await world.deliver()
    assert ledger.accepted == []
    (error,) = await quarantined(world)
    assert "no order" in error


async def test_a_second_payment_for_one_order_is_quarantined(world, ledger):
    order = await world.buy()
    await world.deliver()
    session = world.fake.store.get("checkout.session", order.session_id)
    first = world.fake.store.get("payment_intent", session["payment_intent"])
    again = world.fake.intents.add(
        first["amount"],
        first["currency"],
        customer=first["customer"],
        description=None,
        metadata=first["metadata"],
        receipt_email=None,
        setup_future_usage=None,
    )
    world.fake.intents.charge(again, world.fake.methods.make("pm_card_visa"), on_session=True)
    await world.deliver()
    assert len(ledger.grants(world.account)) == 1
    (error,) = await quarantined(world)
    assert "another payment" in error


async def test_a_session_that_is_not_the_orders_is_quarantined(world, ledger):
    order = await world.buy()
    await world.pool.execute(
        "update payments.orders set session_id = 'cs_other' where order_id = $1", order.order_id
    )
    kind = "checkout.session.completed"
    waiting = world.fake.webhooks.waiting
    await world.deliver(event_ids=[row["id"] for row in waiting if row["type"] == kind])
    assert ledger.grants(world.account) == []
    (error,) = await quarantined(world)
    assert "Checkout Session" in error


async def test_what_the_ledger_declines_is_quarantined(world, ledger):
    ledger.decline = "account_closed"
    order = await world.buy()
    await world.deliver()
    assert all("account_closed" in error for error in await quarantined(world))
    assert (await world.parts.orders.get(order.order_id)).state == "quarantined"


async def test_an_object_that_stripe_does_not_know_is_quarantined(world, ledger):
    order = await world.buy()
    session = world.fake.store.get("checkout.session", order.session_id)
    del world.fake.store._rows["payment_intent"][session["payment_intent"]]
    await world.deliver()
    assert ledger.grants(world.account) == []
    assert len(await quarantined(world)) == 2
