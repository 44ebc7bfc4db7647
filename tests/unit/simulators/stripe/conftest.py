import pytest

from simulators.stripe.app import FakeStripe
from tests.support.stripe_sdk import page_client, sdk


class Hands:
    """A clock that a test moves."""

    def __init__(self):
        self.at = 1_790_000_000.0

    def __call__(self):
        return self.at


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def fake(hands):
    return FakeStripe(now=hands)


@pytest.fixture
def client(fake):
    return sdk(fake)


@pytest.fixture
async def browser(fake):
    async with page_client(fake) as browser:
        yield browser


@pytest.fixture
async def saved(client):
    """A customer with a saved card that pays: (customer, payment method)."""
    customer = await client.v1.customers.create_async({"metadata": {"account_id": "acct_1"}})
    method = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    return customer, method


@pytest.fixture
def charge(saved):
    """Parameters of an off-session charge of the saved card."""
    customer, method = saved
    return {
        "amount": 800,
        "currency": "usd",
        "customer": customer.id,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
        "metadata": {"attempt_id": "rchg_1"},
    }


@pytest.fixture
def checkout(saved):
    """Parameters of a Checkout Session for one pack."""
    price = {"currency": "usd", "unit_amount": 200, "product_data": {"name": "100 credits"}}
    return {
        "mode": "payment",
        "customer": saved[0].id,
        "client_reference_id": "topup_1",
        "line_items": [{"price_data": price, "quantity": 1}],
        "metadata": {"order_id": "topup_1"},
        "payment_intent_data": {
            "metadata": {"order_id": "topup_1"},
            "setup_future_usage": "off_session",
        },
        "success_url": "http://shop.test/return?session_id={CHECKOUT_SESSION_ID}",
    }
