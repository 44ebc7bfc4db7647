import pytest


async def test_coming_back_credits_without_any_webhook(world, ledger):
    order = await world.buy()
    answer = await world.get(f"/return?session_id={order.session_id}")
    assert answer.status_code == 200
    assert "100 credits were added" in answer.text
    assert len(ledger.grants(world.account)) == 1
    await world.deliver(copies=2)
    assert len(ledger.grants(world.account)) == 1


async def test_coming_back_again_asks_stripe_no_more(world, ledger):
    order = await world.buy()
    for _ in range(3):
        await world.get(f"/return?session_id={order.session_id}")
        world.fake.calls.clear()
    assert (await world.get(f"/return?session_id={order.session_id}")).status_code == 200
    assert world.fake.calls == []


async def test_an_unpaid_session_credits_nothing(world, ledger):
    order, session = await world.order()
    answer = await world.get(f"/return?session_id={session}")
    assert "Being processed" in answer.text
    assert order.order_id in answer.text
    assert ledger.accepted == []


async def test_an_absent_ledger_is_no_error_for_the_customer(world, ledger):
    order = await world.buy()
    await ledger.leave()
    answer = await world.get(f"/return?session_id={order.session_id}")
    await ledger.arrive()
    assert (answer.status_code, "Being processed" in answer.text) == (200, True)
    await world.deliver()
    assert len(ledger.grants(world.account)) == 1


async def test_a_wrong_amount_is_not_thanked_for(world, ledger):
    order = await world.buy()
    session = world.fake.store.get("checkout.session", order.session_id)
    world.fake.store.get("payment_intent", session["payment_intent"])["amount_received"] = 1
    answer = await world.get(f"/return?session_id={order.session_id}")
    assert "looking into it" in answer.text
    assert ledger.accepted == []


@pytest.mark.parametrize("query", ["", "?session_id=cs_no", "?session_id=%00", "?session_id=<b>"])
async def test_strangers_learn_nothing_and_reach_nothing(world, query):
    world.fake.calls.clear()
    answer = await world.get(f"/return{query}")
    assert answer.status_code == 404
    assert "<b>" not in answer.text
    assert world.fake.calls == []


@pytest.mark.parametrize("result", ["cancelled", "saved", "closed"])
async def test_other_ends_have_their_page(world, result):
    answer = await world.get(f"/return?result={result}")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
