import re

import pytest
import stripe


async def press(browser, url, token):
    """Read the form of the page as a browser would and press the button of this card."""
    page = await browser.get(url)
    assert page.status_code == 200
    action = re.search(r'<form method="post" action="([^"]+)"', page.text)[1]
    assert f'name="payment_method" value="{token}"' in page.text
    return await browser.post(action, data={"payment_method": token})


async def test_paying_redirects_to_the_success_url_with_the_session(client, browser, checkout):
    session = await client.v1.checkout.sessions.create_async(checkout)
    answer = await press(browser, session.url, "pm_card_visa")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.test/return?session_id={session.id}"
    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent"]}
    )
    assert (done.status, done.payment_status, done.amount_total) == ("complete", "paid", 200)
    assert done.payment_intent.metadata["order_id"] == "topup_1"
    assert done.payment_intent.amount_received == 200


async def test_a_declined_card_can_be_replaced(client, browser, checkout):
    session = await client.v1.checkout.sessions.create_async(checkout)
    refused = await press(browser, session.url, "pm_card_visa_chargeDeclined")
    assert refused.status_code == 402
    assert "declined" in refused.text
    assert (await press(browser, session.url, "pm_card_visa")).status_code == 303
    intents = await client.v1.payment_intents.list_async({"customer": checkout["customer"]})
    assert [row.status for row in intents.data] == ["succeeded"]


async def test_a_paid_session_cannot_be_paid_again(client, browser, checkout):
    session = await client.v1.checkout.sessions.create_async(checkout)
    url = session.url
    await press(browser, url, "pm_card_visa")
    assert (await browser.get(url)).status_code == 410
    again = await browser.post(f"/pay/{session.id}", data={"payment_method": "pm_card_visa"})
    assert again.status_code == 400
    assert len((await client.v1.charges.list_async()).data) == 1


async def test_the_card_is_saved_for_later_charges(client, browser, checkout):
    session = await client.v1.checkout.sessions.create_async(checkout)
    await press(browser, session.url, "pm_card_mastercard")
    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent"]}
    )
    later = await client.v1.payment_intents.create_async(
        {
            "amount": 800,
            "currency": "usd",
            "customer": checkout["customer"],
            "payment_method": done.payment_intent.payment_method,
            "off_session": True,
            "confirm": True,
        }
    )
    assert later.status == "succeeded"


@pytest.mark.parametrize(("paid", "status"), [(True, "paid"), (False, "unpaid")])
async def test_a_delayed_payment_is_unpaid_until_it_settles(
    client, fake, browser, checkout, paid, status
):
    session = await client.v1.checkout.sessions.create_async(checkout)
    await press(browser, session.url, "pm_sepa_debit")
    done = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status) == ("complete", "unpaid")
    await browser.post("/control/sessions/settle", json={"session": session.id, "paid": paid})
    settled = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert settled.payment_status == status


async def test_a_session_expires(client, browser, checkout, hands):
    soon = {**checkout, "expires_at": int(hands.at) + 1800}
    session = await client.v1.checkout.sessions.create_async(soon)
    hands.at += 1800
    assert (await browser.get(f"/pay/{session.id}")).status_code == 410
    expired = await client.v1.events.list_async({"type": "checkout.session.expired"})
    assert len(expired.data) == 1
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.checkout.sessions.expire_async(session.id)


async def test_a_setup_session_saves_a_card_without_charging(client, browser, saved):
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "setup",
            "currency": "usd",
            "customer": saved[0].id,
            "success_url": "http://shop.test/",
        }
    )
    assert (await press(browser, session.url, "pm_card_mastercard")).status_code == 303
    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["setup_intent"]}
    )
    method = await client.v1.payment_methods.retrieve_async(done.setup_intent.payment_method)
    assert (method.customer, method.card.last4) == (saved[0].id, "4444")
    assert (await client.v1.charges.list_async()).data == []
