"""A payment is credited once, whatever the order or number of deliveries (PAY-2)."""

import pytest

pytestmark = pytest.mark.requirement("PAY-2")


async def test_a_bought_pack_is_granted_as_ordered(world, ledger):
    order = await world.buy()
    await world.deliver()
    (grant,) = ledger.grants(world.account)
    after = await world.parts.orders.get(order.order_id)
    assert after.state == "credited"
    assert grant.caller_id == f"topup:{after.payment_intent}"
    assert (grant.data.source, grant.data.amount) == ("purchase", 100 * 10**9)
    assert (grant.data.paid.currency, grant.data.paid.minor) == ("USD", 200)
    assert (grant.data.shelf_months, grant.data.pack) == (12, "credits-100")
    assert grant.data.payment == after.payment_intent


async def test_duplicates_credit_once(world, ledger):
    await world.buy()
    await world.deliver(copies=5)
    assert len(ledger.grants(world.account)) == 1
    assert {state for _, state in await world.inbox_states()} == {"done", "ignored"}


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_credits_once(world, ledger, seed):
    await world.buy()
    await world.buy(pack="credits-500")
    await world.deliver(copies=2, shuffle_seed=seed)
    assert sorted(grant.data.paid.minor for grant in ledger.grants(world.account)) == [200, 800]


@pytest.mark.parametrize("kind", ["checkout.session.completed", "payment_intent.succeeded"])
async def test_either_event_alone_credits(world, ledger, kind):
    await world.buy()
    wanted = [row["id"] for row in world.fake.webhooks.waiting if row["type"] == kind]
    assert len(wanted) == 1
    await world.deliver(event_ids=wanted)
    assert len(ledger.grants(world.account)) == 1


async def test_two_different_events_for_one_payment_credit_once(world, ledger):
    await world.buy()
    for kind in ("payment_intent.succeeded", "checkout.session.completed"):
        waiting = world.fake.webhooks.waiting
        await world.deliver(event_ids=[row["id"] for row in waiting if row["type"] == kind])
    assert len(ledger.grants(world.account)) == 1
    assert ledger.asked >= 2


async def test_dropped_webhooks_are_found_by_reconciliation_once(world, ledger):
    order = await world.buy()
    assert world.fake.webhooks.drop() > 0
    await world.work()
    assert ledger.grants(world.account) == []
    assert await world.parts.reconciler.run() > 0
    await world.work()
    assert (await world.parts.orders.get(order.order_id)).state == "credited"
    assert await world.parts.reconciler.run() == 0
    await world.work()
    assert len(ledger.grants(world.account)) == 1


async def test_a_delivery_after_reconciliation_changes_nothing(world, ledger):
    await world.buy()
    await world.parts.reconciler.run()
    await world.deliver(copies=2)
    assert len(ledger.grants(world.account)) == 1


async def test_a_delayed_payment_is_credited_when_it_settles(world, ledger):
    order = await world.buy("pm_sepa_debit")
    await world.deliver()
    assert ledger.grants(world.account) == []
    assert (await world.parts.orders.get(order.order_id)).state == "open"
    world.fake.sessions.settle(order.session_id)
    await world.deliver()
    assert len(ledger.grants(world.account)) == 1


async def test_a_delayed_payment_that_fails_ends_the_order(world, ledger):
    order = await world.buy("pm_sepa_debit")
    await world.deliver()
    world.fake.sessions.settle(order.session_id, paid=False)
    await world.deliver()
    assert (await world.parts.orders.get(order.order_id)).state == "failed"
    assert ledger.grants(world.account) == []


async def test_an_expired_page_ends_the_order(world, ledger):
    order, session = await world.order()
    world.fake.sessions.expire({}, session)
    await world.deliver()
    assert (await world.parts.orders.get(order.order_id)).state == "expired"


async def test_unknown_types_are_kept_and_ignored(world):
    await world.stripe.create_customer("acct_x")
    await world.deliver()
    assert await world.inbox_states() == [("customer.created", "ignored")]
