async def test_an_absent_ledger_keeps_the_event_until_it_is_back(world, ledger):
    order = await world.buy()
    await ledger.leave()
    try:
        await world.deliver()
        assert ledger.grants(world.account) == []
        states = dict(await world.inbox_states())
        assert states["payment_intent.succeeded"] == "new"
    finally:
        await ledger.arrive()
    await world.work()
    assert ledger.grants(world.account) == [], "it is not due yet"
    world.clock.advance(1)
    await world.work()
    assert len(ledger.grants(world.account)) == 1
    assert (await world.parts.orders.get(order.order_id)).state == "credited"


async def test_an_absent_stripe_keeps_the_event(world, ledger):
    await world.buy()
    world.fake.faults.add("GET", "payment_intents", "500", times=99)
    await world.deliver()
    assert ledger.grants(world.account) == []
    world.fake.faults.clear()
    world.clock.advance(1)
    await world.work()
    assert len(ledger.grants(world.account)) == 1


async def test_waits_grow_with_each_try(world, ledger):
    await world.buy()
    world.fake.faults.add("GET", "payment_intents", "500", times=999)
    await world.deliver()
    for _ in range(6):
        world.clock.advance(8)
        await world.work()
    row = await world.pool.fetchrow(
        "select tries, due_at, error from payments.inbox where type = 'payment_intent.succeeded'"
    )
    assert row["tries"] == 7
    assert 6 <= (row["due_at"] - world.clock.now()).total_seconds() <= 8
    assert "APIError" in row["error"]


async def test_one_bad_event_does_not_hold_up_others(world, ledger, monkeypatch):
    from services.payments.orders import Orders

    bad = await world.buy()
    good = await world.buy(pack="credits-500")
    honest = Orders.get

    async def broken(orders, order_id):
        if order_id == bad.order_id:
            raise RuntimeError("a mistake of ours")
        return await honest(orders, order_id)

    monkeypatch.setattr(Orders, "get", broken)
    kind = "checkout.session.completed"
    waiting = world.fake.webhooks.waiting
    await world.deliver(event_ids=[row["id"] for row in waiting if row["type"] == kind])
    assert (await world.parts.orders.get(good.order_id)).state == "credited"
    assert sorted(state for _, state in await world.inbox_states()) == ["done", "new"]


async def test_a_worker_that_died_leaves_its_events_to_the_next(world, ledger, settings):
    await world.buy()
    await world.fake.webhooks.deliver()
    taken = await world.parts.inbox.lease(99, settings.lease_s)
    assert taken
    await world.work()
    assert ledger.grants(world.account) == []
    world.clock.advance(settings.lease_s)
    await world.work()
    assert len(ledger.grants(world.account)) == 1


async def test_a_lost_answer_of_the_ledger_credits_once(world, ledger):
    """The grant was made, the row was not closed: the same command comes again."""
    order = await world.buy()
    await world.deliver()
    await world.pool.execute("update payments.inbox set state = 'new', due_at = received_at")
    await world.pool.execute(
        "update payments.orders set state = 'open', grant_id = null where order_id = $1",
        order.order_id,
    )
    await world.work()
    assert len(ledger.grants(world.account)) == 1
    assert (await world.parts.orders.get(order.order_id)).state == "credited"
