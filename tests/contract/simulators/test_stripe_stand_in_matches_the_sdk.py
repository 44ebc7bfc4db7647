import pytest
import stripe

from simulators.stripe.app import FakeStripe
from tests.support.stripe_sdk import page_client, sdk
from tests.support.stripe_types import EVENT_TYPES, object_problems, param_problems

PRICE = {"currency": "usd", "unit_amount": 200, "product_data": {"name": "100 credits"}}


@pytest.fixture(scope="module")
async def fake():
    """An account in which everything that the stand-in can do has happened once."""
    fake = FakeStripe()
    client = sdk(fake)
    customer = await client.v1.customers.create_async({"email": "a@b.example"})
    method = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    charge = {
        "amount": 800,
        "currency": "usd",
        "customer": customer.id,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
    }
    await client.v1.payment_intents.create_async(charge)
    fake.methods.behave_like(method.id, "pm_card_visa_chargeDeclinedStolenCard")
    with pytest.raises(stripe.CardError) as refused:
        await client.v1.payment_intents.create_async(charge)
    await client.v1.payment_intents.cancel_async(refused.value.error.payment_intent.id)
    common = {"customer": customer.id, "success_url": "http://shop.test/"}
    lines = {"line_items": [{"price_data": PRICE, "quantity": 1}]}
    for token, settled in (
        ("pm_card_mastercard", None),
        ("pm_sepa_debit", True),
        ("pm_sepa_debit", False),
    ):
        session = await client.v1.checkout.sessions.create_async(
            {"mode": "payment", **common, **lines}
        )
        fake.sessions.pay(session.id, token)
        if settled is not None:
            fake.sessions.settle(session.id, paid=settled)
    open_one = await client.v1.checkout.sessions.create_async(
        {"mode": "payment", **common, **lines}
    )
    await client.v1.checkout.sessions.expire_async(open_one.id)
    setup = await client.v1.checkout.sessions.create_async({"mode": "setup", **common})
    fake.sessions.pay(setup.id, "pm_card_visa")
    await client.v1.billing_portal.sessions.create_async({"customer": customer.id})
    await client.v1.payment_methods.detach_async(method.id)
    return fake


KINDS = (
    "customer",
    "payment_method",
    "payment_intent",
    "charge",
    "event",
    "setup_intent",
    "checkout.session",
    "billing_portal.session",
)


@pytest.mark.parametrize("kind", KINDS)
async def test_objects_have_the_sdks_fields_and_no_others(fake, kind):
    rows = fake.store.find(kind)
    assert rows
    assert [problem for row in rows for problem in object_problems(row)] == []


async def test_event_names_exist_in_the_sdk(fake):
    made = {row["type"] for row in fake.store.find("event")}
    assert len(made) > 10
    assert made <= EVENT_TYPES


async def test_errors_have_the_sdks_fields(fake):
    async with page_client(fake) as browser:
        answer = await browser.get("/v1/charges/ch_no", headers={"authorization": "Bearer sk_x"})
    names = set(stripe.ErrorObject.__annotations__)
    refused = [row["last_payment_error"] for row in fake.store.find("payment_intent")]
    for error in (answer.json()["error"], *(row for row in refused if row)):
        assert set(error) <= names


def test_the_guard_sees_a_slip():
    row = {"object": "charge", "id": "ch_1", "amount_refundable": 3}
    problems = object_problems(row)
    assert "charge.amount_refundable" in problems
    assert "charge lacks amount" in problems
    slip = {"line_items": [{"price_data": {"unit_amout": "1"}}], "mode": "payment"}
    assert param_problems("POST", "/v1/checkout/sessions", slip) == [
        "POST /v1/checkout/sessions[line_items][price_data][unit_amout]"
    ]
