"""The recharge process beside the real ledger and reader, on real NATS and PostgreSQL."""

import asyncio
import contextlib
from datetime import timedelta
from types import SimpleNamespace

import asyncpg
import orjson
import pytest

from libs.events import commands as c
from libs.events.ids import new_id, partition_of
from libs.events.money import NANOS
from services.ledger import app as ledger_app
from services.ledger import reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from services.recharge import app
from services.recharge.settings import RechargeSettings
from tests.support.database import PARTITIONS
from tests.support.deciding import command, grant, issue_key, open_account, reserve, settle
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def place(database, streams, tmp_path_factory):
    """The reader and clients; each test runs the ledger and recharge as it needs them."""
    folder = tmp_path_factory.mktemp("recharge")
    common = {"data_dir": folder, "config": example_config(folder)}
    reading = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    async with (
        asyncpg.create_pool(database.dsn("recharge"), min_size=1, max_size=2) as pool,
        running(reader.serve, reading),
        ledger_client(database, "admin", "admin") as admin,
        ledger_client(database, "gateway", "use") as use,
        ledger_client(database, "payments", "money") as money,
    ):
        yield SimpleNamespace(
            database=database, common=common, pool=pool, admin=admin, use=use, money=money
        )


@contextlib.asynccontextmanager
async def the_ledger(place):
    settings = settings_for(
        LedgerSettings, "ledger", place.database, process_name="ledger", **place.common
    )
    async with running(ledger_app.serve, settings) as lifecycle:
        await place.use.check_installation()
        yield lifecycle


@contextlib.asynccontextmanager
async def recharge(place, **settings):
    quick = {"look_every_s": 0.1, "retry_s": 0.1, "idle_s": 0.05, "dip_wait_s": 0.2}
    fields = {"process_name": "recharge", "ledger_give_up_s": 0.3, **place.common, **quick}
    made = settings_for(RechargeSettings, "recharge", place.database, **fields | settings)
    async with running(app.serve, made) as lifecycle:
        yield lifecycle


async def account_that_will_fall(place, **policy):
    account = new_id("acct")
    deadline = place.use.ledger_now() + timedelta(seconds=5)
    given = {"enabled": True, "threshold": 10 * NANOS, "basis": "total", "amount": 10 * NANOS}
    for order in (
        selling(account),
        open_account(account),
        issue_key(account, "key_" + account[5:], deadline),
        grant(account, 20 * NANOS),
        command(c.ConfigureRecharge, account, given | policy),
    ):
        reply = await place.admin.send(order, give_up_s=4)
        assert reply.reply in {"Published", "Opened", "Issued", "Granted", "Configured"}, reply
    return account


async def hold(place, account, units):
    res, deadline = new_id("req"), place.use.ledger_now() + timedelta(seconds=5)
    held = reserve(account, "key_" + account[5:], units * NANOS, deadline, res=res)
    assert (await place.use.send(held, give_up_s=4)).reply == "Reserved"
    return res


async def fall(place, account, units=11):
    res = await hold(place, account, units)
    assert (await place.use.send(settle(account, res, units * NANOS), give_up_s=4)).position


async def events(place, kind, account):
    partition = partition_of(account, PARTITIONS)
    found, start = [], 1
    while True:
        answer = await place.use.query("events", {"from": start}, partition=partition)
        page = answer["data"]["events"]
        if not page:
            return found
        found += [orjson.loads(e["body"]) for e in page if e["type"] == kind]
        found = [body for body in found if body["account_id"] == account]
        start = page[-1]["position"] + 1


async def started(place, account, count=1):
    async def enough():
        return len(await events(place, "RechargeStarted", account)) >= count

    await eventually(enough, what=f"{count} RechargeStarted")
    return await events(place, "RechargeStarted", account)


async def reason(place, account):
    return await place.pool.fetchval(
        "select reason from recharge.fallen where account_id = $1", account
    )


async def because(place, account, expected):
    async def holds():
        return await reason(place, account) == expected

    await eventually(holds, what=expected)


async def collect(place, body):
    """What payments does when the card was charged."""
    attempt = {
        "source": "recharge", "attempt_id": body["data"]["attempt_id"], "payment": "pi_1",
        "paid": {"currency": "USD", "minor": 500},
    }  # fmt: skip
    order = grant(body["account_id"], int(body["data"]["credits"]), **attempt)
    order = order.model_copy(update={"caller_id": f"topup:{body['data']['attempt_id']}"})
    assert (await place.money.send(order, give_up_s=4)).reply == "Granted"


@pytest.mark.requirement("RCH-2", "RCH-5")
async def test_a_balance_that_fell_is_recharged_and_no_longer_watched(place):
    async with the_ledger(place), recharge(place):
        account = await account_that_will_fall(place)
        await fall(place, account)
        (body,) = await started(place, account)
        (fell,) = await events(place, "BalanceFellBelowThreshold", account)
        assert body["data"]["credits"] == str(10 * NANOS)
        assert body["data"]["price"] == {"currency": "USD", "minor": 1000}
        assert body["data"]["trigger"].startswith(("sweep:", f"1-{fell['partition']}-"))
        await because(place, account, "attempt_open")
        await collect(place, body)

        async def forgotten():
            count = await place.pool.fetchval(
                "select count(*) from recharge.fallen where account_id = $1", account
            )
            return count == 0

        await eventually(forgotten, what="the row to go")
        assert len(await events(place, "RechargeStarted", account)) == 1


@pytest.mark.requirement("RCH-2")
async def test_holds_are_given_time_to_come_back(place):
    async with the_ledger(place), recharge(place, dip_wait_s=0.4):
        account = await account_that_will_fall(place, basis="available")
        await hold(place, account, 15)
        (body,) = await started(place, account)
        (fell,) = await events(place, "BalanceFellBelowThreshold", account)
        assert body["occurred_at"] >= fell["occurred_at"]
        waited = at(body) - at(fell)
        assert waited >= timedelta(seconds=0.39)


def at(body):
    from libs.events.times import from_text

    return from_text(body["occurred_at"])


@pytest.mark.requirement("RCH-3")
async def test_a_restart_between_storing_and_asking_repeats_the_attempt(place):
    async with the_ledger(place):
        account = await account_that_will_fall(place)
        await fall(place, account)
        async with recharge(place, look_every_s=60, retry_s=60, dip_wait_s=60) as first:
            await started(place, account)
            first.stop()
        # As if the process had been killed before it heard: only the stored row remains.
        (body,) = await events(place, "RechargeStarted", account)
        attempt = body["data"]["attempt_id"]
        await place.pool.execute(
            "update recharge.attempts set state = 'stored', code = null where attempt_id = $1",
            attempt,
        )
        await collect(place, body)
        await fall(place, account, 10)
        async with recharge(place):
            second = await started(place, account, 2)
            assert len({b["data"]["attempt_id"] for b in second}) == 2
            state = await place.pool.fetchval(
                "select state from recharge.attempts where attempt_id = $1", attempt
            )
            assert state == "started"
            await because(place, account, "attempt_open")
        assert len(await events(place, "RechargeStarted", account)) == 2


@pytest.mark.requirement("RCH-3")
async def test_an_attempt_stored_while_the_ledger_is_away_is_the_one_that_starts(place):
    async with the_ledger(place):
        account = await account_that_will_fall(place)
        await fall(place, account)

        async def relayed():
            async with ledger_stream(place, account) as last:
                return (
                    last
                    >= (await events(place, "BalanceFellBelowThreshold", account))[0]["position"]
                )

        await eventually(relayed, what="the event in the stream")
    async with recharge(place):
        await because(place, account, "ledger_away")
    (attempt,) = await place.pool.fetch(
        "select attempt_id, state from recharge.attempts where account_id = $1", account
    )
    assert attempt["state"] == "stored"
    async with the_ledger(place), recharge(place):
        (body,) = await started(place, account)
        assert body["data"]["attempt_id"] == attempt["attempt_id"]


@contextlib.asynccontextmanager
async def ledger_stream(place, account):
    from tests.support.nats import connected

    async with connected(place.database.stack, "provision") as nc:
        info = await nc.jetstream().stream_info(f"LEDGER_{partition_of(account, PARTITIONS)}")
        yield info.state.last_seq


@pytest.mark.requirement("RCH-3")
async def test_events_that_come_again_start_nothing_again(place):
    async with the_ledger(place):
        account = await account_that_will_fall(place)
        await fall(place, account)
        async with recharge(place):
            await collect(place, (await started(place, account))[0])
            await gone(place, account)
        await place.pool.execute("update recharge.positions set position = 0")
        async with recharge(place):
            await read_again(place, account)
            await gone(place, account)
        assert len(await events(place, "RechargeStarted", account)) == 1


async def gone(place, account):
    async def holds():
        return await place.pool.fetchval(
            "select not exists (select from recharge.fallen where account_id = $1)", account
        )

    await eventually(holds, what="the row to go")


async def read_again(place, account):
    (fell,) = await events(place, "BalanceFellBelowThreshold", account)

    async def holds():
        stored = await place.pool.fetchval(
            "select position from recharge.positions where partition = $1", fell["partition"]
        )
        return stored >= fell["position"]

    await eventually(holds, what="the event to be read again")


@pytest.mark.requirement("RCH-2")
async def test_a_fall_seen_too_late_is_reported_and_not_acted_on(place):
    async with the_ledger(place):
        account = await account_that_will_fall(place)
        await fall(place, account)
        async with recharge(place, performed_within_s=0.000001):
            await because(place, account, "reported")
        assert await events(place, "RechargeStarted", account) == []
        await place.pool.execute("delete from recharge.fallen where account_id = $1", account)


@pytest.mark.requirement("RCH-3")
async def test_a_second_process_stands_by_and_takes_over(place):
    async with the_ledger(place):
        account = await account_that_will_fall(place)
        async with recharge(place, process_name="recharge-2"):
            async with recharge(place):
                await fall(place, account)
                (body,) = await started(place, account)
            await collect(place, body)
            await fall(place, account, 10)
            await started(place, account, 2)
        assert len(await events(place, "RechargeStarted", account)) == 2


async def test_credits_wait_for_payments_to_name_the_currency(place):
    async with the_ledger(place), recharge(place, payments_timeout_s=0.2):
        account = new_id("acct")
        deadline = place.use.ledger_now() + timedelta(seconds=5)
        opened = {"unit": "CREDIT", "plan": "studio", "catalogue": "c" * 64, "initial": None}
        policy = {"enabled": True, "threshold": 10 * NANOS, "basis": "total", "amount": 500 * NANOS}
        for order in (
            command(c.OpenAccount, account, opened, caller_id=account),
            issue_key(account, "key_" + account[5:], deadline),
            grant(account, 5 * NANOS),
            command(c.ConfigureRecharge, account, policy),
        ):
            assert (await place.admin.send(order, give_up_s=4)).position
        await because(place, account, "payments_away")
        asked = asyncio.Event()

        async def answer(message):
            assert orjson.loads(message.data) == {"account_id": account, "last": True}
            asked.set()
            await message.respond(b'{"ok":true,"data":{"currency":"EUR"}}')

        from tests.support.nats import connected

        async with connected(place.database.stack, "payments") as nc:
            await nc.subscribe("payments.requests.order", cb=answer)
            (body,) = await started(place, account)
        assert asked.is_set()
        assert body["data"]["price"] == {"currency": "EUR", "minor": 750}
