import asyncio

import nats.errors
import orjson
import pytest

from libs.events.ids import new_id
from libs.runtime import metrics
from libs.runtime.broker import open_broker
from libs.runtime.health import Health
from libs.runtime.supervision import Lifecycle
from services.payments.requests import answer_requests
from tests.support.fake_ledger import settled
from tests.support.nats import connected
from tests.support.waiting import eventually


class Asker:
    """Asks like the gateway does."""

    def __init__(self, world, client):
        self.world = world
        self.client = client

    async def __call__(self, name, **fields):
        raw = orjson.dumps({"account_id": self.world.account, **fields})
        message = await self.client.request(f"payments.requests.{name}", raw, timeout=5)
        return orjson.loads(message.data)


@pytest.fixture
async def ask(world, settings, nats_clean):
    async with (
        open_broker(settings, "payments", Lifecycle(), Health()) as broker,
        connected(nats_clean, "gateway") as client,
    ):
        await answer_requests(broker, world.parts.desk)
        await settled(broker.connection)
        yield Asker(world, client)


STUDIO = {"unit": "CREDIT", "plan": "studio"}


@pytest.mark.requirement("PAY-1")
async def test_packs_of_the_plan_with_their_prices(ask):
    answer = await ask("packs", **STUDIO)
    assert answer["ok"] is True
    assert answer["data"]["packs"][0] == {
        "id": "credits-100",
        "unit": "CREDIT",
        "gives": "100",
        "prices": {"USD": "2.00", "EUR": "1.90"},
        "shelf_months": 12,
    }
    assert [pack["id"] for pack in answer["data"]["packs"]] == [
        "credits-100",
        "credits-500",
        "credits-2000",
    ]
    assert (await ask("packs", unit="CREDIT", plan="nothing"))["data"] == {"packs": []}


async def test_checkout_gives_an_order_and_a_page(ask, hosted, ledger):
    order = {**STUDIO, "pack": "credits-100", "currency": "EUR", "key": "k-1"}
    made = (await ask("create_checkout", **order))["data"]
    assert made["top_up_id"].startswith("topup_")
    assert (await hosted.get(made["checkout_url"])).status_code == 200
    assert (await ask("create_checkout", **order))["data"] == made
    session = ask.world.fake.store.find("checkout.session")[0]
    assert (session["amount_total"], session["currency"]) == (190, "eur")
    assert session["client_reference_id"] == made["top_up_id"]
    other = await ask("create_checkout", **{**order, "pack": "credits-500"})
    assert (other["ok"], other["code"]) == (False, "key_reused")


@pytest.mark.requirement("ACC-7")
async def test_the_orders_of_an_account_are_listed_the_latest_first_page_by_page(ask):
    order = {**STUDIO, "pack": "credits-100", "currency": "USD"}
    made = [(await ask("create_checkout", **order))["data"]["top_up_id"] for _ in range(3)]
    mine, ask.world.account = ask.world.account, new_id("acct")
    await ask("create_checkout", **order)
    ask.world.account = mine
    found, after = [], None
    while True:
        page = (await ask("orders", limit=2, after=after))["data"]
        found += page["top_ups"]
        after = page["next"]
        if after is None:
            break
    assert [row["top_up_id"] for row in found] == made[::-1]
    assert found[0] == (await ask("order", top_up_id=made[2]))["data"]
    assert (await ask("orders", limit=0))["code"] == "malformed"


async def test_the_same_key_of_another_account_is_another_order(ask):
    order = {**STUDIO, "pack": "credits-100", "currency": "USD", "key": "k-1"}
    mine = (await ask("create_checkout", **order))["data"]
    ask.world.account = new_id("acct")
    theirs = (await ask("create_checkout", **order))["data"]
    assert mine["top_up_id"] != theirs["top_up_id"]


async def test_a_page_whose_answer_was_lost_is_made_once(ask):
    order = {**STUDIO, "pack": "credits-100", "currency": "USD", "key": "k-2"}
    ask.world.fake.faults.add("POST", "checkout/sessions", "drop_after", times=3)
    lost = await ask("create_checkout", **order)
    assert (lost["ok"], lost["code"]) == (False, "unavailable")
    assert (await ask("create_checkout", **order))["ok"] is True
    assert len(ask.world.fake.store.find("checkout.session")) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pack": "usd-10"}, "unknown_pack"),
        ({"pack": "nothing"}, "unknown_pack"),
        ({"plan": "nothing"}, "unknown_pack"),
        ({"unit": "USD"}, "unit_mismatch"),
        ({"currency": "JPY"}, "unknown_currency"),
        ({"currency": "usd"}, "malformed"),
        ({"account_id": "acct_1"}, "malformed"),
        ({"key": "\n"}, "malformed"),
    ],
)
async def test_what_is_not_sold_is_refused_and_not_ordered(ask, change, code):
    order = {**STUDIO, "pack": "credits-100", "currency": "USD", "key": None}
    answer = await ask("create_checkout", **{**order, **change})
    assert (answer["ok"], answer["code"]) == (False, code)
    assert await ask.world.pool.fetchval("select count(*) from payments.orders") == 0


async def test_an_order_is_followed_to_its_credit(ask, ledger):
    assert (await ask("order", last=True)) == {"ok": True, "data": None}
    made, session = await ask.world.order()
    opened = (await ask("order", top_up_id=made.order_id))["data"]
    assert (opened["state"], opened["gives"], opened["price"]) == ("open", "100", "2.00")
    ask.world.fake.sessions.pay(session, "pm_card_visa")
    await ask.world.deliver()
    done = (await ask("order", top_up_id=made.order_id))["data"]
    assert (done["state"], done["checkout_url"]) == ("credited", None)
    assert done["grant_id"].startswith("grant_")
    assert (await ask("order", last=True))["data"] == done


async def test_another_accounts_order_does_not_exist(ask):
    made, _ = await ask.world.order()
    ask.world.account = new_id("acct")
    answer = await ask("order", top_up_id=made.order_id)
    assert (answer["ok"], answer["code"]) == (False, "unknown_order")


@pytest.mark.requirement("PAY-3")
async def test_the_saved_card_is_shown_from_stripe(ask, ledger):
    assert (await ask("payment_method"))["data"] == {"payment_method": None}
    await ask.world.credited_card()
    card = (await ask("payment_method"))["data"]["payment_method"]
    assert card == {
        "type": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2034,
    }


async def test_a_card_is_saved_on_a_page_of_its_own(ask, hosted, ledger):
    url = (await ask("create_setup", key="s-1"))["data"]["setup_url"]
    paid = await hosted.post(url, data={"payment_method": "pm_card_mastercard"})
    assert paid.headers["location"] == "http://pay.test/return?result=saved"
    await ask.world.deliver()
    card = (await ask("payment_method"))["data"]["payment_method"]
    assert card["last4"] == "4444"
    assert (await ask("create_setup", key="s-1"))["ok"] is True


async def test_the_portal_needs_a_customer(ask, ledger):
    assert (await ask("portal_link"))["code"] == "no_customer"
    await ask.world.buy()
    assert "/portal/" in (await ask("portal_link"))["data"]["portal_url"]


async def test_bytes_that_are_no_question_are_answered(ask):
    for raw in (b"", b"\xff", b"[]", b"{}", b'{"account_id": 7}'):
        for headers in (None, {"content-type": "application/json"}):
            message = await ask.client.request(
                "payments.requests.packs", raw, timeout=5, headers=headers
            )
            assert orjson.loads(message.data)["code"] == "malformed"


async def test_an_answer_never_becomes_a_command(ask, world, nats_clean, ledger):
    """This process may publish money commands: only an inbox is ever answered."""
    question = orjson.dumps({"account_id": world.account, **STUDIO})
    refused = metrics.counter(
        "payments_replies_refused_total", "Requests whose reply would not go to an inbox."
    )
    asked, before = ledger.asked, refused.value
    async with connected(nats_clean, "gateway") as gateway:
        for reply in ("ledger.commands.0.money", "", "payments.requests.order", "inbox"):
            await gateway.publish("payments.requests.packs", question, reply=reply)
        await gateway.flush()
    wait = asyncio.sleep
    await eventually(lambda: wait(0, refused.value == before + 4))
    assert (await ask("packs", **STUDIO))["ok"] is True
    assert ledger.asked == asked


async def test_nobody_answers_when_payments_is_away(world, nats_clean):
    async with connected(nats_clean, "gateway") as client:
        with pytest.raises(nats.errors.NoRespondersError):
            await client.request("payments.requests.packs", b"{}", timeout=2)
