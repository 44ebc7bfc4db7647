import asyncio
import json
import time

import httpx
import pytest
import stripe

from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import Delivery, sign
from tests.support.stripe_sdk import page_client, sdk


class Endpoint:
    """An endpoint that verifies like a careful merchant and can be out of order."""

    def __init__(self, secret):
        self.secret = secret
        self.seen = []
        self.away = 0
        self.arrived = asyncio.Event()

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        header = dict(scope["headers"])[b"stripe-signature"].decode()
        status = 200
        if self.away:
            self.away -= 1
            status = 503
        else:
            event = stripe.Webhook.construct_event(body, header, self.secret)
            self.seen.append(event.id)
            self.arrived.set()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def endpoint():
    return Endpoint("whsec_1")


def wired(endpoint, **how):
    delivery = Delivery("http://shop.test/webhooks/stripe", "whsec_1", **how)
    return FakeStripe(delivery=delivery, transport=httpx.ASGITransport(app=endpoint))


async def three(fake):
    return [(await sdk(fake).v1.customers.create_async({})).id for _ in range(3)]


async def test_waiting_events_are_delivered_on_order_with_valid_signatures(endpoint):
    fake = wired(endpoint)
    await three(fake)
    waiting = [event["id"] for event in fake.webhooks.waiting]
    assert endpoint.seen == []
    assert await fake.webhooks.deliver() == [200, 200, 200]
    assert endpoint.seen == waiting


async def test_duplicates_shuffles_and_drops_are_on_order(endpoint):
    fake = wired(endpoint)
    await three(fake)
    waiting = [event["id"] for event in fake.webhooks.waiting]
    await fake.webhooks.deliver(copies=3, shuffle_seed=4)
    assert sorted(endpoint.seen) == sorted(waiting * 3)
    assert endpoint.seen != waiting * 3
    endpoint.seen.clear()
    await three(fake)
    assert fake.webhooks.drop() == 3
    assert await fake.webhooks.deliver() == []
    assert endpoint.seen == []


async def test_auto_delivery_tries_again_until_it_is_taken(endpoint, monkeypatch):
    monkeypatch.setattr("simulators.stripe.webhooks.FIRST_RETRY_S", 0)
    endpoint.away = 2
    fake = wired(endpoint, auto=True)
    await sdk(fake).v1.customers.create_async({})
    await asyncio.wait_for(endpoint.arrived.wait(), 5)
    assert [status for _, status in fake.webhooks.log][:2] == [503, 503]
    assert len(endpoint.seen) == 1
    await fake.webhooks.close()


async def test_a_wrong_secret_or_an_old_signature_does_not_verify():
    body = json.dumps({"id": "evt_1", "object": "event"})
    good = sign(body, "whsec_1")
    assert stripe.Webhook.construct_event(body, good, "whsec_1").id == "evt_1"
    old = sign(body, "whsec_1", int(time.time()) - 301)
    for header, secret in ((good, "whsec_2"), (old, "whsec_1"), ("", "whsec_1")):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, header, secret)


async def test_the_control_calls_steer_delivery(endpoint):
    fake = wired(endpoint)
    await three(fake)
    async with page_client(fake) as browser:
        waiting = (await browser.post("/control/webhooks", json={"secret": "whsec_1"})).json()
        assert [row["type"] for row in waiting["waiting"]] == ["customer.created"] * 3
        one = {"event_ids": [waiting["waiting"][1]["id"]], "copies": 2}
        sent = (await browser.post("/control/webhooks/deliver", json=one)).json()
        assert sent == {"statuses": [200, 200]}
        assert (await browser.post("/control/webhooks/drop")).json() == {"dropped": 2}
        assert (await browser.post("/control/nothing")).status_code == 404
        assert (await browser.post("/control/faults", json={"kind": "no"})).status_code == 400
