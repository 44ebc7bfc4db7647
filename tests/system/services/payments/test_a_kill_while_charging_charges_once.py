"""kill -9 of the payments process between the charge and its recording (RCH-3)."""

import asyncio
import json
from datetime import timedelta

import orjson
import pytest

from libs.events import commands as c
from libs.events.fields import Paid
from libs.events.ids import new_id
from services.ledger.app import serve as serve_ledger
from services.ledger.reader import serve as serve_reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import Delivery
from tests.support.nats import connected
from tests.support.process import Process
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.stripe_server import stripe_server
from tests.support.waiting import until

CREDIT = 10**9
SECRET = "whsec_system"


class System:
    def __init__(self, fake, payments, admin, recharge, gateway):
        self.fake = fake
        self.payments = payments
        self.admin = admin
        self.recharge = recharge
        self.gateway = gateway
        self.account = new_id("acct")

    async def start(self):
        await asyncio.to_thread(self.payments.start)
        run_file = self.payments.folder / "run" / "payments.json"
        port = json.loads(run_file.read_text())["ports"]["http"]
        self.fake.webhooks.how.url = f"http://127.0.0.1:{port}/webhooks/stripe"

    async def kill(self):
        self.payments.kill()
        await asyncio.to_thread(self.payments.wait)

    async def send(self, client, command):
        reply = await client.send(command, give_up_s=5)
        assert reply.reply in ("Opened", "Configured", "Started"), reply

    async def open_account(self):
        common = {"account_id": self.account, "correlation_id": "test"}
        opened = c.OpenAccountData(unit="CREDIT", plan="studio", catalogue="0" * 64)
        await self.send(self.admin, c.OpenAccount(caller_id=self.account, data=opened, **common))
        policy = c.ConfigureRechargeData(
            enabled=True,
            threshold=200 * CREDIT,
            basis="available",
            amount=500 * CREDIT,
            pack="credits-500",
        )
        caller = "11111111-1111-4111-8111-111111111111"
        await self.send(self.admin, c.ConfigureRecharge(caller_id=caller, data=policy, **common))

    async def order(self):
        """Order a pack; its Checkout Session."""
        fields = {"account_id": self.account, "unit": "CREDIT", "plan": "studio"}
        fields |= {"pack": "credits-100", "currency": "USD", "key": None}
        raw = orjson.dumps(fields)
        message = await self.gateway.request("payments.requests.create_checkout", raw, timeout=10)
        url = orjson.loads(message.data)["data"]["checkout_url"]
        return url.rpartition("/")[2]

    async def start_recharge(self):
        attempt_id = new_id("rchg")
        data = c.StartRechargeData(
            attempt_id=attempt_id,
            credits=500 * CREDIT,
            price=Paid(currency="USD", minor=800),
            trigger="sweep:1",
        )
        deadline = self.recharge.ledger_now() + timedelta(seconds=5)
        command = c.StartRecharge(
            caller_id=attempt_id,
            account_id=self.account,
            correlation_id="test",
            deadline=deadline,
            data=data,
        )
        await self.send(self.recharge, command)

    async def holds(self, credits):
        async def there():
            question = {"account_id": self.account}
            answer = await self.admin.query("balance", question, account_id=self.account)
            return int(answer["data"]["available"]) == credits * CREDIT

        await until(there, patience_s=30)

    def paid(self, amount):
        return len(self.fake.store.find("charge", amount=amount, status="succeeded"))


@pytest.fixture(scope="module")
async def system(streams, database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    config = example_config(folder)
    common = {"config": config, "data_dir": folder}
    ledger = settings_for(LedgerSettings, "ledger", database, process_name="ledger", **common)
    reader = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    fake = FakeStripe(delivery=Delivery(auto=True, secret=SECRET))
    async with stripe_server(fake) as stripe_url:
        env = {
            "FAREBOX_LISTEN": "127.0.0.1:0",
            "FAREBOX_STRIPE_API_KEY": "sk_test_system",
            "FAREBOX_STRIPE_WEBHOOK_SECRET": SECRET,
            "FAREBOX_STRIPE_API_BASE": stripe_url,
            "FAREBOX_LEASE_S": "1",
        }
        payments = Process("payments", database, folder, config=config, env=env)
        async with (
            running(serve_ledger, ledger),
            running(serve_reader, reader),
            ledger_client(database, "admin", "admin") as admin,
            ledger_client(database, "recharge", "recharge") as recharge,
            connected(streams, "gateway") as gateway,
        ):
            await recharge.check_installation()
            made = System(fake, payments, admin, recharge, gateway)
            await made.start()
            try:
                yield made
            finally:
                await asyncio.to_thread(payments.stop)


@pytest.mark.requirement("RCH-3")
async def test_a_kill_between_charge_and_recording_charges_once(system):
    await system.open_account()
    system.fake.sessions.pay(await system.order(), "pm_card_visa")
    await system.holds(100)
    # Stripe charges, and its answer does not come before the process is killed.
    system.fake.webhooks.how.drop = True
    system.fake.faults.add("POST", "/v1/payment_intents", "hang_after")
    await system.start_recharge()

    async def charging():
        return system.fake.faults.hanging

    await until(charging)
    assert system.paid(800) == 1
    await system.kill()
    system.fake.faults.clear()
    await system.start()
    await system.holds(600)
    assert system.paid(800) == 1
    # The other way round: the webhook comes while the process is away and is found by listing.
    session = await system.order()
    await system.kill()
    system.fake.sessions.pay(session, "pm_card_visa")
    await system.start()
    await system.holds(700)
    assert system.paid(200) == 2
