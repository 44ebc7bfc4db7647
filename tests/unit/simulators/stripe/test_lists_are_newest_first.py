async def test_events_come_newest_first_with_filters_and_cursors(client, charge, hands):
    for _ in range(3):
        hands.at += 10
        await client.v1.payment_intents.create_async(charge)
    wanted = {"types": ["payment_intent.succeeded"], "limit": 2}
    page = await client.v1.events.list_async(wanted)
    assert page.has_more
    times = [event.created async for event in page.auto_paging_iter()]
    assert len(times) == 3
    assert times == sorted(times, reverse=True)
    since = {**wanted, "created": {"gte": times[0]}}
    assert len((await client.v1.events.list_async(since)).data) == 1
    one = await client.v1.events.list_async({"type": "customer.created"})
    assert [event.type for event in one.data] == ["customer.created"]
    assert (await client.v1.events.retrieve_async(one.data[0].id)).id == one.data[0].id


async def test_an_event_shows_its_object_as_it_was(client, charge):
    await client.v1.payment_intents.create_async(charge)
    created = await client.v1.events.list_async({"type": "payment_intent.created"})
    assert created.data[0].data.object["status"] == "requires_payment_method"


async def test_intents_are_listed_by_customer_and_time(client, charge, hands):
    first = await client.v1.payment_intents.create_async(charge)
    hands.at += 600
    second = await client.v1.payment_intents.create_async(charge)
    mine = {"customer": charge["customer"]}
    assert [row.id for row in (await client.v1.payment_intents.list_async(mine)).data] == [
        second.id,
        first.id,
    ]
    late = {**mine, "created": {"gte": int(hands.at) - 300}}
    found = await client.v1.payment_intents.list_async(late)
    assert [row.id for row in found.data] == [second.id]
    nobody = await client.v1.payment_intents.list_async({"customer": "cus_other"})
    assert nobody.data == []


async def test_the_sdk_really_talks_to_the_stand_in(client, fake, saved):
    assert [call[:2] for call in fake.calls] == [
        ("POST", "/v1/customers"),
        ("POST", "/v1/payment_methods/pm_card_visa/attach"),
    ]
    saved_cards = await client.v1.customers.payment_methods.list_async(saved[0].id)
    assert [row.id for row in saved_cards.data] == [saved[1].id]
    await client.v1.payment_methods.detach_async(saved[1].id)
    assert (await client.v1.customers.payment_methods.list_async(saved[0].id)).data == []
