import pytest
import stripe

from services.payments.errors import StripeUnavailable
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import API_VERSION, StripeApi, open_client
from simulators.stripe.app import FakeStripe
from tests.support.stripe_server import stripe_server


@pytest.fixture
async def fake():
    return FakeStripe()


@pytest.fixture
async def api(fake, monkeypatch):
    monkeypatch.setattr(stripe.HTTPXClient, "INITIAL_DELAY", 0.001)
    monkeypatch.setattr(stripe.HTTPXClient, "MAX_DELAY", 0.001)
    async with stripe_server(fake) as url:
        settings = PaymentsSettings(stripe_api_key="sk_test_x", stripe_api_base=f"{url}/")
        async with open_client(settings) as client:
            yield StripeApi(client)


async def test_a_call_is_repeated_twice_with_one_key(fake, api):
    fake.faults.add("POST", "customers", "drop_after", times=2)
    made = await api.create_customer("acct_1")
    assert [row["id"] for row in fake.store.find("customer")] == [made]


async def test_a_third_failure_is_told(fake, api):
    fake.faults.add("POST", "customers", "drop_before", times=3)
    with pytest.raises(StripeUnavailable):
        await api.create_customer("acct_1")
    assert fake.store.find("customer") == []


async def test_every_call_names_its_version(fake, api, monkeypatch):
    seen = []
    honest = fake._api

    async def watched(request):
        seen.append(request.headers["stripe-version"])
        return await honest(request)

    for route in fake._asgi.routes:
        if route.path == "/v1/{path:path}":
            monkeypatch.setattr(route, "app", _endpoint(watched))
    await api.create_customer("acct_1")
    assert seen == [API_VERSION]


def _endpoint(handler):
    from starlette.routing import request_response

    return request_response(handler)
