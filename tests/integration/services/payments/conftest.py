from datetime import UTC, datetime

import httpx
import pytest

from libs.catalogue.load import parse
from libs.events.ids import new_id
from libs.events.times import to_text
from libs.runtime.clock import ManualClock, SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.database import pool
from services.payments.assembly import assemble
from services.payments.attempts import record
from services.payments.links import Links
from services.payments.server import public_app
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import StripeApi
from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import Delivery
from tests.support.catalogue import EXAMPLE
from tests.support.database import PARTITIONS
from tests.support.fake_ledger import fake_ledger
from tests.support.nats import connected
from tests.support.settings import settings_for
from tests.support.stripe_sdk import page_client, sdk

SECRET = "whsec_test"
PUBLIC = "http://pay.test"
TABLES = [f"payments.{name}" for name in ("customers", "orders", "attempts", "inbox")]
TABLES += ["payments.positions", "payments.reconciliations"]


class World:
    """Payments on a real database and NATS, a fake ledger and a stand-in for Stripe.

    Nothing runs by itself: a test says when the workers look.
    """

    def __init__(self, parts, fake, ledger, clock, pool, stripe):
        self.parts = parts
        self.fake = fake
        self.ledger = ledger
        self.clock = clock
        self.pool = pool
        self.stripe = stripe
        self.account = new_id("acct")
        self.app = public_app(parts.endpoint, parts.page)
        self.fake.webhooks._transport = httpx.ASGITransport(app=self.app)
        self._position = 0

    async def order(
        self, pack="credits-100", plan="studio", unit="CREDIT", currency="USD", key=None
    ):
        """Order a pack; (order, id of its Checkout Session)."""
        made = await self.parts.desk._checkout.create(self.account, unit, plan, pack, currency, key)
        return made, made.session_id

    async def buy(self, token="pm_card_visa", **order):
        """Order and pay a pack on the hosted page. Events wait to be delivered."""
        made, session = await self.order(**order)
        self.fake.sessions.pay(session, token)
        return await self.parts.orders.get(made.order_id)

    async def credited_card(self):
        """Have a saved card by a purchase, then forget that purchase."""
        await self.buy()
        await self.deliver()
        self.ledger.accepted.clear()
        return (await self.parts.customers.get(self.account)).payment_method

    async def deliver(self, **how):
        statuses = await self.fake.webhooks.deliver(**how)
        assert set(statuses) <= {200}
        await self.work()

    async def work(self):
        while await self.parts.worker.run_due():
            pass

    async def started(
        self, price=800, credits=500 * 10**9, at=None, *, attempt_id=None, incarnation=1
    ):
        """The ledger admitted a recharge; its row is written as the consumer writes it."""
        attempt_id = attempt_id or new_id("rchg")
        self._position += 1
        body = {
            "incarnation": incarnation,
            "partition": 0,
            "position": self._position + int(self.clock.now().timestamp() * 10**6),
            "account_id": self.account,
            "occurred_at": to_text(at or self.clock.now()),
            "data": {
                "attempt_id": attempt_id,
                "credits": str(credits),
                "price": {"currency": "USD", "minor": price},
                "trigger": "1-0-7",
                "windows": {"day": "2026-11-20", "month": "2026-11"},
            },
        }
        async with self.pool.acquire() as connection:
            await record(connection, body, self.clock.now())
        return attempt_id

    async def collect(self, looks=1, wait_s=0):
        for _ in range(looks):
            self.clock.advance(wait_s)
            await self.parts.collector.run_due()

    async def charges(self):
        """Succeeded charges of this account, newest first."""
        customer = (await self.parts.customers.get(self.account)).customer
        rows = self.fake.store.find("charge", customer=customer, status="succeeded")
        return [row["amount"] for row in rows]

    async def inbox_states(self):
        rows = await self.pool.fetch("select type, state, error from payments.inbox order by type")
        return [(row["type"], row["state"]) for row in rows]

    async def get(self, path):
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as browser:
            return await browser.get(path)

    async def post(self, path, content, headers):
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as browser:
            return await browser.post(path, content=content, headers=headers)


@pytest.fixture(scope="module")
def settings(database):
    return settings_for(
        PaymentsSettings,
        "payments",
        database,
        stripe_api_key="sk_test_stand_in",
        stripe_webhook_secret=f"whsec_new,{SECRET}",
        ledger_give_up_s=0.3,
        retry_first_s=1,
        retry_cap_s=8,
    )


@pytest.fixture(scope="module")
async def tables(settings):
    async with pool(settings, 8) as opened:
        yield opened


@pytest.fixture(scope="module")
async def ledger(nats_clean):
    async with fake_ledger(nats_clean) as ledger:
        ledger.answers["balance"] = {"unit": "CREDIT", "plan": "studio"}
        ledger.answers["recharge"] = {"policy": {"pack": None}}
        yield ledger


@pytest.fixture(scope="module")
async def nats(nats_clean):
    async with connected(nats_clean, "payments") as client:
        yield client


@pytest.fixture
async def world(settings, database, tables, ledger, nats):
    database.sql(f"truncate {', '.join(TABLES)}")
    clock = ManualClock(datetime.now(UTC))
    fake = FakeStripe(
        now=lambda: clock.now().timestamp(), delivery=Delivery(f"{PUBLIC}/webhooks/stripe", SECRET)
    )
    stripe = StripeApi(sdk(fake))
    client = CommandClient(
        nats, command_class="money", partitions=PARTITIONS, watch=None, clock=SystemClock()
    )
    parts = assemble(settings, parse(EXAMPLE), tables, client, stripe, clock, Links(PUBLIC))
    ledger.accepted.clear()
    ledger.decline = None
    return World(parts, fake, ledger, clock, tables, stripe)


@pytest.fixture
async def hosted(world):
    async with page_client(world.fake) as browser:
        yield browser
