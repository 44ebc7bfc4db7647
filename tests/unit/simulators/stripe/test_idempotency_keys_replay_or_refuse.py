import pytest
import stripe


async def charges(client):
    return [row async for row in (await client.v1.charges.list_async()).auto_paging_iter()]


async def test_the_same_key_charges_once_and_replays_the_answer(client, charge):
    first = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    again = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(await charges(client)) == 1


async def test_the_same_key_with_another_amount_is_an_error(client, charge):
    await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    other = {**charge, "amount": 900}
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.payment_intents.create_async(other, {"idempotency_key": "k"})
    assert len(await charges(client)) == 1


async def test_a_decline_is_replayed_too(client, fake, charge):
    fake.methods.behave_like(charge["payment_method"], "pm_card_visa_chargeDeclined")
    intents = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
        intents.add(refused.value.error.payment_intent.id)
    assert len(intents) == 1


async def test_a_key_is_forgotten_after_a_day(client, charge, hands):
    first = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    hands.at += 24 * 3600 - 1
    same = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    hands.at += 1
    fresh = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert same.id == first.id
    assert fresh.id != first.id


async def test_a_call_that_failed_validation_does_not_use_up_its_key(client, charge):
    wrong = {**charge, "amount": 3}
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.create_async(wrong, {"idempotency_key": "k"})
    made = await client.v1.payment_intents.create_async(charge, {"idempotency_key": "k"})
    assert made.status == "succeeded"
