"""Keys that are revoked while two gateways remember them, on one real ledger."""

import asyncio
import time
from datetime import timedelta

import pytest

from libs.events import commands as c
from tests.support.deciding import command, reserve
from tests.support.installation import DOLLAR
from tests.support.services import ledger_client
from tests.support.waiting import until

GATEWAYS = ("gateway-1", "gateway-2")
KEPT = "keys_remembered"


@pytest.fixture(scope="module", autouse=True)
async def _gateways(farebox):
    await farebox.start(*GATEWAYS)


@pytest.mark.requirement("ACC-3", "ACC-5")
async def test_a_revoked_key_is_refused_by_the_ledger_at_once_and_by_each_gateway_that_hears_of_it(
    farebox, provider
):
    """The second that it may take is the machine's: no gateway waits for a timer of its own.

    One that had missed the event would forget every key, also the bystander's.
    """
    customer, bystander = await farebox.customer(DOLLAR), await farebox.customer(DOLLAR)
    for gateway in GATEWAYS:
        await remembered(farebox, gateway, bystander)
    kept = {gateway: await remembered(farebox, gateway, customer) for gateway in GATEWAYS}
    before = await farebox.kinds(customer.account)
    calls = len(provider.record.calls)
    async with ledger_client(farebox.database, "gateway", "use") as stale:
        await stale.check_installation()
        deadline = stale.ledger_now() + timedelta(seconds=30)
        hold = reserve(customer.account, customer.key_id, 1, deadline)
        await revoke(farebox, customer)
        reply = await stale.send(hold, give_up_s=4)
    assert (reply.reply, reply.data["code"]) == ("Declined", "key_revoked")

    async def forgotten():
        return all(farebox.metric(name, KEPT) == number - 1 for name, number in kept.items())

    await until(forgotten)
    answers = [await farebox.chat(gateway, customer) for gateway in GATEWAYS * 2]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert await farebox.kinds(customer.account) == [*before, "KeyRevoked"]
    assert len(provider.record.calls) == calls


@pytest.mark.requirement("ACC-5")
async def test_most_revocations_are_heard_by_every_gateway_within_a_second(farebox):
    """Most of five: one moment in which the machine stands still proves nothing, three do."""
    took = []
    for _ in range(5):
        customer = await farebox.customer(DOLLAR)
        kept = {gateway: await remembered(farebox, gateway, customer) for gateway in GATEWAYS}
        await revoke(farebox, customer)
        began = time.monotonic()

        async def forgotten(kept=kept):
            return all(farebox.metric(name, KEPT) == count - 1 for name, count in kept.items())

        await until(forgotten)
        took.append(time.monotonic() - began)
        assert [(await farebox.chat(g, customer)).status_code for g in GATEWAYS] == [401, 401]
    assert sorted(took)[2] < 1, took


@pytest.mark.requirement("ACC-5")
async def test_under_load_nothing_is_held_after_the_reply_to_a_revocation(farebox, provider):
    customer, bystander = await farebox.customer(100 * DOLLAR), await farebox.customer(DOLLAR)
    asked = []
    load = [asyncio.create_task(ask_on(farebox, g, customer, asked)) for g in GATEWAYS * 3]

    async def all_serve():
        return {gateway for _, gateway, status in asked if status == 200} == set(GATEWAYS)

    await until(all_serve)
    await revoke(farebox, customer)
    revoked_at = time.monotonic()

    async def both_refuse_by_themselves():
        """A body that is not JSON is looked at only when the gateway itself lets the key in."""
        url = "/v1/chat/completions"
        answers = [
            await farebox.http.post(
                farebox.process(gateway).url("http", url), content=b"{", headers=customer.inference
            )
            for gateway in GATEWAYS
        ]
        return [answer.status_code for answer in answers] == [401, 401]

    await until(both_refuse_by_themselves)

    async def later():
        return {status for at, _, status in asked if at > revoked_at}

    assert await until(later) == {401}
    for one in load:
        one.cancel()
    await asyncio.gather(*load, return_exceptions=True)
    assert await later() == {401}
    kinds = await farebox.kinds(customer.account)
    assert kinds.count("CreditsReserved") > len(GATEWAYS)
    assert "CreditsReserved" not in kinds[kinds.index("KeyRevoked") :]
    await farebox.settled(customer)
    assert (await farebox.chat("gateway-1", bystander)).status_code == 200


async def revoke(farebox, customer):
    data = {"key_id": customer.key_id, "reason_code": "lost"}
    caller = f"revoke:{customer.key_id}"
    await farebox.order(command(c.RevokeKey, customer.account, data, caller_id=caller))


async def ask_on(farebox, gateway, customer, asked):
    """Ask again and again; note when, of whom, and the status."""
    while True:
        at = time.monotonic()
        answer = await farebox.chat(gateway, customer)
        asked.append((at, gateway, answer.status_code))


async def remembered(farebox, gateway, customer):
    """Have a gateway keep the customer's key in memory; return how many keys it keeps."""
    before = farebox.metric(gateway, KEPT)

    async def kept():
        assert (await farebox.chat(gateway, customer)).status_code == 200
        return farebox.metric(gateway, KEPT) > before

    await until(kept)
    return before + 1
