"""The whole process on the real ledger: bought, credited, recharged, declined."""

import json
import re
from datetime import timedelta

import httpx
import orjson
import pytest

from libs.events import commands as c
from libs.events.fields import Paid
from libs.events.ids import new_id
from services.ledger.app import serve as serve_ledger
from services.ledger.reader import serve as serve_reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from services.payments.app import serve as serve_payments
from services.payments.settings import PaymentsSettings
from simulators.stripe.app import FakeStripe
from simulators.stripe.webhooks import Delivery
from tests.support.nats import connected
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.stripe_server import stripe_server
from tests.support.waiting import until

CREDIT = 10**9


class Shop:
    """One installation with its real ledger, as its customers and operators use it."""

    def __init__(self, fake, gateway, admin, recharge, url):
        self.fake = fake
        self.gateway = gateway
        self.admin = admin
        self.recharge = recharge
        self.url = url

    async def open_account(self):
        account = new_id("acct")
        data = c.OpenAccountData(unit="CREDIT", plan="studio", catalogue="0" * 64)
        command = c.OpenAccount(
            caller_id=account, account_id=account, correlation_id="test", data=data
        )
        assert (await self.admin.send(command, give_up_s=5)).reply == "Opened"
        return account

    async def ask(self, name, **fields):
        message = await self.gateway.request(
            f"payments.requests.{name}", orjson.dumps(fields), timeout=10
        )
        answer = orjson.loads(message.data)
        assert answer["ok"], answer
        return answer["data"]

    async def order(self, account, pack="credits-100"):
        return await self.ask(
            "create_checkout",
            account_id=account,
            unit="CREDIT",
            plan="studio",
            pack=pack,
            currency="USD",
            key=None,
        )

    async def pay(self, url, *, come_back):
        async with httpx.AsyncClient() as browser:
            page = (await browser.get(url)).text
            action = re.search(r'<form method="post" action="([^"]+)"', page)[1]
            paid = await browser.post(
                httpx.URL(url).join(action), data={"payment_method": "pm_card_visa"}
            )
            assert paid.status_code == 303
            if come_back:
                return await browser.get(paid.headers["location"])
        return None

    async def credited(self, account, top_up_id):
        async def is_credited():
            found = await self.ask("order", account_id=account, top_up_id=top_up_id)
            return found["state"] == "credited"

        await until(is_credited)

    async def balance(self, account):
        answer = await self.admin.query("balance", {"account_id": account}, account_id=account)
        return int(answer["data"]["available"])

    async def recharge_state(self, account):
        answer = await self.admin.query("recharge", {"account_id": account}, account_id=account)
        return answer["data"]

    async def configure(self, account):
        data = c.ConfigureRechargeData(
            enabled=True,
            threshold=200 * CREDIT,
            basis="available",
            amount=500 * CREDIT,
            pack="credits-500",
        )
        command = c.ConfigureRecharge(
            caller_id="11111111-1111-4111-8111-111111111111",
            account_id=account,
            correlation_id="test",
            data=data,
        )
        assert (await self.admin.send(command, give_up_s=5)).reply == "Configured"

    async def start_recharge(self, account):
        attempt_id = new_id("rchg")
        price = Paid(currency="USD", minor=800)
        command = c.StartRecharge(
            caller_id=attempt_id,
            account_id=account,
            correlation_id="test",
            deadline=self.recharge.ledger_now() + timedelta(seconds=5),
            data=c.StartRechargeData(
                attempt_id=attempt_id, credits=500 * CREDIT, price=price, trigger="sweep:1"
            ),
        )
        reply = await self.recharge.send(command, give_up_s=5)
        assert reply.reply == "Started", reply
        return attempt_id


@pytest.fixture(scope="module")
async def shop(streams, database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    config = example_config(folder)
    common = {"config": config, "data_dir": folder}
    fake = FakeStripe(delivery=Delivery(auto=True, secret="whsec_shop"))
    async with stripe_server(fake) as stripe_url:
        ledger = settings_for(LedgerSettings, "ledger", database, process_name="ledger", **common)
        reader = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
        payments = settings_for(
            PaymentsSettings,
            "payments",
            database,
            process_name="payments",
            listen="127.0.0.1:0",
            stripe_api_key="sk_test_shop",
            stripe_webhook_secret="whsec_shop",
            stripe_api_base=stripe_url,
            **common,
        )
        async with (
            running(serve_ledger, ledger),
            running(serve_reader, reader),
            running(serve_payments, payments),
            connected(streams, "gateway") as gateway,
            ledger_client(database, "admin", "admin") as admin,
            ledger_client(database, "recharge", "recharge") as recharge,
        ):
            await recharge.check_installation()
            ports = json.loads((folder / "run" / "payments.json").read_text())["ports"]
            url = f"http://127.0.0.1:{ports['http']}"
            fake.webhooks.how.url = f"{url}/webhooks/stripe"
            yield Shop(fake, gateway, admin, recharge, url)


@pytest.mark.requirement("PAY-2")
async def test_a_pack_is_bought_by_webhook_alone(shop):
    account = await shop.open_account()
    made = await shop.order(account)
    await shop.pay(made["checkout_url"], come_back=False)
    await shop.credited(account, made["top_up_id"])
    assert await shop.balance(account) == 100 * CREDIT


async def test_a_pack_is_bought_by_coming_back_alone(shop):
    account = await shop.open_account()
    shop.fake.webhooks.how.drop = True
    try:
        made = await shop.order(account)
        page = await shop.pay(made["checkout_url"], come_back=True)
    finally:
        shop.fake.webhooks.how.drop = False
    assert "100 credits were added" in page.text
    assert await shop.balance(account) == 100 * CREDIT


async def test_both_ways_and_duplicates_credit_once(shop):
    account = await shop.open_account()
    shop.fake.webhooks.how.copies = 3
    try:
        made = await shop.order(account, "credits-500")
        await shop.pay(made["checkout_url"], come_back=True)
        await shop.credited(account, made["top_up_id"])
    finally:
        shop.fake.webhooks.how.copies = 1

    async def all_taken():
        return not shop.fake.webhooks.waiting and not shop.fake.webhooks._tasks

    await until(all_taken)
    assert await shop.balance(account) == 500 * CREDIT
    answer = await shop.admin.query("entries", {"account_id": account}, account_id=account)
    assert [entry["type"] for entry in answer["data"]["entries"]] == ["top_up"]


@pytest.mark.requirement("ACC-8", "PAY-2")
async def test_a_payment_for_an_account_that_was_closed_meanwhile_is_quarantined(shop):
    account = await shop.open_account()
    made = await shop.order(account)
    data = c.CloseAccountData(write_off=False, reason_code="customer_left")
    closing = c.CloseAccount(
        caller_id="close-1", account_id=account, correlation_id="test", data=data
    )
    assert (await shop.admin.send(closing, give_up_s=5)).reply == "Closed"
    await shop.pay(made["checkout_url"], come_back=False)

    async def kept():
        found = await shop.ask("order", account_id=account, top_up_id=made["top_up_id"])
        return found["state"] == "quarantined"

    await until(kept)
    assert await shop.balance(account) == 0


@pytest.mark.requirement("RCH-3", "RCH-5")
async def test_an_admitted_recharge_is_charged_once_and_closed_by_its_grant(shop):
    account = await shop.open_account()
    made = await shop.order(account)
    await shop.pay(made["checkout_url"], come_back=True)
    await shop.configure(account)
    await shop.start_recharge(account)

    async def recharged():
        return await shop.balance(account) == 600 * CREDIT

    await until(recharged)
    state = await shop.recharge_state(account)
    assert (state["open_attempt"], state["failures_in_row"]) == (None, 0)
    paid = shop.fake.store.find("charge", amount=800, status="succeeded")
    assert len([row for row in paid if row["metadata"].get("account_id") == account]) == 1


@pytest.mark.requirement("RCH-3")
async def test_a_declined_recharge_is_recorded_and_charged_never(shop):
    account = await shop.open_account()
    made = await shop.order(account)
    await shop.pay(made["checkout_url"], come_back=True)
    await shop.configure(account)
    customer = shop.fake.store.get("payment_intent", await payment_of(shop, account, made))
    shop.fake.methods.behave_like(
        customer["payment_method"], "pm_card_visa_chargeDeclinedInsufficientFunds"
    )
    await shop.start_recharge(account)

    async def recorded():
        return (await shop.recharge_state(account))["failures_in_row"] == 1

    await until(recorded)
    state = await shop.recharge_state(account)
    assert state["open_attempt"] is None
    assert state["next_at"] is not None
    assert await shop.balance(account) == 100 * CREDIT


async def payment_of(shop, account, made):
    return (await shop.ask("order", account_id=account, top_up_id=made["top_up_id"]))["payment"]


async def test_a_wrong_signature_is_refused_at_the_real_port(shop):
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{shop.url}/webhooks/stripe", content=b"{}", headers={"stripe-signature": "t=1,v1=a"}
        )
    assert answer.status_code == 400
