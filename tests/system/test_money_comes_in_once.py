"""Bought and recharged through real processes: every payment is credited exactly once."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from deploy.local.launch import free_port
from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import Delivery
from tests.support.installation import CREDIT, DOLLAR, charge_of
from tests.support.projecting import connection_of
from tests.support.stripe_server import stripe_server
from tests.support.waiting import until

SECRET = "whsec_system"
SEED = 20261120
ENV = {
    "recharge": {"FAREBOX_LOOK_EVERY_S": "0.2", "FAREBOX_IDLE_S": "0.1", "FAREBOX_RETRY_S": "0.2"},
    "payments": {
        "FAREBOX_STRIPE_API_KEY": "sk_test_system",
        "FAREBOX_STRIPE_WEBHOOK_SECRET": SECRET,
        "FAREBOX_RECONCILE_S": "0.5",
        "FAREBOX_LEASE_S": "1",
    },
}


@pytest.fixture(scope="module")
async def stripe(farebox):
    """Stripe's stand-in, with everything that is needed to pay there; events wait until sent."""
    port = free_port()  # kept over restarts: Stripe goes on delivering to the same address
    url = f"http://127.0.0.1:{port}/webhooks/stripe"
    fake = FakeStripe(delivery=Delivery(url=url, secret=SECRET))
    async with stripe_server(fake) as api:
        farebox.env["payments"] |= {
            "FAREBOX_STRIPE_API_BASE": api,
            "FAREBOX_LISTEN": f"127.0.0.1:{port}",
        }
        await farebox.start("gateway", "payments", "recharge")
        yield fake
        fake.faults.clear()


async def pay(farebox, stripe, customer, pack="credits-100"):
    """Order a pack and pay it with a card that is kept; the top-up's id."""
    order = {"pack": pack, "currency": "USD"}
    made = await farebox.billing("gateway", customer, "/checkout", "POST", json=order)
    stripe.sessions.pay(made["checkout_url"].rpartition("/")[2], "pm_card_visa")
    return made["top_up_id"]


async def credited(farebox, customer, *top_ups):
    for top_up in top_ups:

        async def is_credited(path=f"/top-ups/{top_up}"):
            return (await farebox.billing("gateway", customer, path))["state"] == "credited"

        await until(is_credited, patience_s=20)


async def entries(farebox, customer, kind):
    lines = (await farebox.billing("gateway", customer, "/entries"))["entries"]
    return [line for line in lines if line["type"] == kind]


async def all_work_is_done(farebox):
    """Wait until payments has nothing left in its inbox."""

    async def nothing_waits():
        async with connection_of(farebox.database, "payments") as connection:
            states = await connection.fetch("select distinct state from payments.inbox")
        return {row["state"] for row in states} <= {"done", "ignored"}

    await until(nothing_waits, patience_s=20)


@pytest.mark.requirement("PAY-2")
async def test_webhooks_in_any_order_and_number_credit_once(farebox, stripe):
    customer = await farebox.customer(unit="CREDIT", plan="studio")
    top_ups = [await pay(farebox, stripe, customer) for _ in range(3)]
    deliveries = stripe.webhooks.waiting * 4
    stripe.webhooks.drop()
    random.Random(SEED).shuffle(deliveries)
    statuses = await asyncio.gather(*map(stripe.webhooks.send, deliveries))
    assert set(statuses) == {200}
    await credited(farebox, customer, *top_ups)
    await all_work_is_done(farebox)
    assert await farebox.balance(customer) == (300 * CREDIT, 0)
    assert len(await farebox.events(customer.account, "CreditsGranted")) == 3
    assert len(await entries(farebox, customer, "top_up")) == 3


@pytest.mark.requirement("PAY-2", "PAY-7")
async def test_a_webhook_that_never_came_is_found_and_credited_once(farebox, stripe):
    customer = await farebox.customer(unit="CREDIT", plan="studio")
    top_up = await pay(farebox, stripe, customer)
    late = stripe.webhooks.waiting
    assert stripe.webhooks.drop() > 0
    await credited(farebox, customer, top_up)
    assert {await stripe.webhooks.send(event) for event in late} == {200}
    await all_work_is_done(farebox)
    assert await farebox.balance(customer) == (100 * CREDIT, 0)
    assert len(await farebox.events(customer.account, "CreditsGranted")) == 1


@pytest.mark.requirement("PAY-2")
async def test_a_payment_made_while_payments_was_dead_is_credited_once(farebox, stripe):
    customer = await farebox.customer(unit="CREDIT", plan="studio")
    order = {"pack": "credits-100", "currency": "USD"}
    made = await farebox.billing("gateway", customer, "/checkout", "POST", json=order)
    await farebox.kill("payments")
    stripe.sessions.pay(made["checkout_url"].rpartition("/")[2], "pm_card_visa")
    events = stripe.webhooks.waiting
    assert set(await stripe.webhooks.deliver()) == {0}
    await farebox.start("payments")
    assert {await stripe.webhooks.send(event) for event in events} == {200}
    await credited(farebox, customer, made["top_up_id"])
    await all_work_is_done(farebox)
    assert await farebox.balance(customer) == (100 * CREDIT, 0)


async def turn_on(farebox, customer):
    """Have $10 more bought as soon as less than $10 is there."""
    shown = await farebox.billing("gateway", customer, "/auto-recharge")
    wish = {
        "auto_recharge_enabled": True,
        "auto_recharge_amount_usd": "10.00",
        "recharge_threshold_usd": "10.00",
        "consent": {
            "text": shown["consent_text"],
            "accepted_at": datetime.now(UTC).isoformat(),
        },
    }
    await farebox.billing("gateway", customer, "/auto-recharge", "PUT", json=wish)


async def with_a_card(farebox, stripe):
    """A customer who has bought $10 and has auto-recharge on."""
    customer = await farebox.customer()
    top_up = await pay(farebox, stripe, customer, "usd-10")
    assert set(await stripe.webhooks.deliver()) == {200}
    await credited(farebox, customer, top_up)
    await turn_on(farebox, customer)
    return customer


def charges(stripe, customer):
    """What Stripe took from the customer's card, in cents."""
    [theirs] = [
        row["id"]
        for row in stripe.store.find("customer")
        if row["metadata"]["account_id"] == customer.account
    ]
    rows = stripe.store.find("charge", status="succeeded", customer=theirs)
    return [row["amount"] for row in rows]


async def recharged_once(farebox, stripe, customer, spent):
    async def granted():
        return (await farebox.balance(customer)) == (20 * DOLLAR - spent, 0)

    await until(granted, patience_s=30)
    [started] = await farebox.events(customer.account, "RechargeStarted")
    grants = await farebox.events(customer.account, "CreditsGranted")
    attempts = [grant["data"]["attempt_id"] for grant in grants]
    assert attempts == [None, started["data"]["attempt_id"]]
    assert charges(stripe, customer) == [1000, 1000]
    shown = await farebox.billing("gateway", customer, "/auto-recharge")
    assert (shown["open_attempt"], shown["failures_in_row"]) == (None, 0)
    sources = [line["source"] for line in await entries(farebox, customer, "top_up")]
    assert sources == ["purchase", "recharge"]


@pytest.mark.requirement("RCH-2", "RCH-3", "RCH-5")
async def test_an_account_that_runs_down_is_charged_once_and_goes_on(farebox, stripe, provider):
    customer = await with_a_card(farebox, stripe)
    answer = await farebox.chat("gateway", customer)
    spent = charge_of(answer.json()["usage"])
    await recharged_once(farebox, stripe, customer, spent)
    # The webhooks of the charge itself, late: the attempt is closed and stays so.
    assert set(await stripe.webhooks.deliver()) == {200}
    await all_work_is_done(farebox)
    assert await farebox.balance(customer) == (20 * DOLLAR - spent, 0)


@pytest.mark.requirement("RCH-3")
async def test_a_kill_between_the_charge_and_its_recording_charges_and_credits_once(
    farebox, stripe, provider
):
    customer = await with_a_card(farebox, stripe)
    stripe.faults.add("POST", "/v1/payment_intents", "hang_after")
    before = stripe.faults.hanging
    answer = await farebox.chat("gateway", customer)

    async def charging():
        return stripe.faults.hanging > before

    await until(charging, patience_s=20)
    assert charges(stripe, customer) == [1000, 1000]  # taken, and nobody here knows it
    assert len(await farebox.events(customer.account, "CreditsGranted")) == 1
    await farebox.kill("payments")
    await farebox.kill("recharge")
    stripe.webhooks.drop()
    stripe.faults.clear()
    await farebox.start("payments", "recharge")
    await recharged_once(farebox, stripe, customer, charge_of(answer.json()["usage"]))
