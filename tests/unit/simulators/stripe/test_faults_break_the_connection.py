import asyncio

import pytest
import stripe

from tests.support.waiting import eventually


async def attempts(client, charge):
    found = await client.v1.payment_intents.list_async({"customer": charge["customer"]})
    return [row.status for row in found.data]


async def test_a_lost_answer_leaves_the_charge_standing(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "drop_after", times=3)
    with pytest.raises(stripe.APIConnectionError):
        await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert await attempts(client, charge) == ["succeeded"]


async def test_a_lost_request_charges_nothing(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "drop_before", times=3)
    with pytest.raises(stripe.APIConnectionError):
        await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert await attempts(client, charge) == []


async def test_the_sdk_gets_over_one_lost_answer_by_itself(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "drop_after")
    intent = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert intent.status == "succeeded"
    assert await attempts(client, charge) == ["succeeded"]


async def test_429_is_not_executed_and_not_saved(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "429")
    with pytest.raises(stripe.RateLimitError):
        await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    intent = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert intent.status == "succeeded"


@pytest.mark.parametrize(("kind", "statuses"), [("500", []), ("500_after", ["succeeded"])])
async def test_a_500_is_saved_under_its_key(fake, client, charge, kind, statuses):
    fake.faults.add("POST", "payment_intents", kind)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert await attempts(client, charge) == statuses


async def test_a_fault_only_hits_the_named_calls(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "500", times=9)
    assert (await client.v1.events.list_async()).data
    fake.faults.clear()
    assert (await client.v1.payment_intents.create_async(charge)).status == "succeeded"


async def test_a_hanging_answer_comes_once_it_is_let_go(fake, client, charge):
    fake.faults.add("POST", "payment_intents", "hang_after")
    waiting = asyncio.create_task(client.v1.payment_intents.create_async(charge))
    await eventually(lambda: asyncio.sleep(0, fake.faults.hanging))
    assert await attempts(client, charge) == ["succeeded"]
    assert not waiting.done()
    fake.faults.clear()
    assert (await waiting).status == "succeeded"
