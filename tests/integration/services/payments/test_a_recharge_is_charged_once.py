"""Never two charges for one need, also after a crash between charge and recording (RCH-3)."""

import asyncio
from datetime import timedelta

import pytest

from services.payments.errors import StripeUnavailable

pytestmark = pytest.mark.requirement("RCH-3")


@pytest.mark.requirement("RCH-5")
async def test_an_attempt_is_charged_and_granted_with_its_id(world, ledger):
    await world.credited_card()
    attempt_id = await world.started()
    await world.collect()
    assert await world.charges() == [800, 200]
    (grant,) = ledger.grants(world.account)
    row = await world.parts.attempts.get(attempt_id)
    assert row.state == "credited"
    assert grant.caller_id == f"topup:{row.payment_intent}"
    assert (grant.data.source, grant.data.attempt_id) == ("recharge", attempt_id)
    assert (grant.data.amount, grant.data.paid.minor) == (500 * 10**9, 800)
    assert (grant.data.pack, grant.data.shelf_months) == ("credits-500", 12)


async def test_webhooks_of_the_charge_change_nothing(world, ledger):
    await world.credited_card()
    await world.started()
    await world.collect()
    await world.deliver(copies=3, shuffle_seed=1)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1
    states = {state for _, state in await world.inbox_states()}
    assert states == {"done", "ignored"}


async def test_the_webhook_may_be_first(world, ledger, monkeypatch):
    await world.credited_card()
    attempt_id = await world.started()

    async def dies(*_args):
        raise StripeUnavailable("killed here")

    with monkeypatch.context() as crash:
        crash.setattr(type(world.parts.collector), "_settle", dies)
        await world.collect()
    await world.deliver()
    assert (await world.parts.attempts.get(attempt_id)).state == "credited"
    await world.collect(looks=3, wait_s=60)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1


async def test_a_crash_between_charge_and_recording_charges_once(world, ledger, monkeypatch):
    await world.credited_card()
    attempt_id = await world.started()

    async def dies(*_args):
        raise StripeUnavailable("killed here")

    with monkeypatch.context() as crash:
        crash.setattr(type(world.parts.collector), "_settle", dies)
        await world.collect()
    assert await world.charges() == [800, 200]
    assert ledger.grants(world.account) == []
    await world.collect(looks=2, wait_s=60)
    assert await world.charges() == [800, 200]
    assert (await world.parts.attempts.get(attempt_id)).state == "credited"
    assert len(ledger.grants(world.account)) == 1


async def test_a_lost_answer_is_looked_up_and_charged_once(world, ledger):
    await world.credited_card()
    attempt_id = await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "drop_after", times=3)
    await world.collect()
    assert (await world.parts.attempts.get(attempt_id)).state == "open"
    assert ledger.grants(world.account) == []
    await world.collect(wait_s=60)
    assert await world.charges() == [800, 200]
    assert (await world.parts.attempts.get(attempt_id)).state == "credited"


@pytest.mark.parametrize("kind", ["drop_before", "429", "500"])
async def test_a_charge_that_never_happened_is_tried_again(world, ledger, kind):
    await world.credited_card()
    attempt_id = await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", kind, times=3)
    await world.collect()
    assert await world.charges() == [200]
    world.fake.faults.clear()
    if kind == "500":  # Stripe keeps a 500 under its key for a day: nothing to do but give up
        await world.collect(looks=2, wait_s=60)
        assert (await world.parts.attempts.get(attempt_id)).state == "open"
        return
    await world.collect(wait_s=60)
    assert await world.charges() == [800, 200]


async def test_a_500_that_charged_is_found_by_looking(world, ledger):
    await world.credited_card()
    await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "500_after")
    await world.collect()
    assert ledger.grants(world.account) == []
    await world.collect(wait_s=60)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1


async def test_nothing_is_charged_while_looking_fails(world, ledger):
    await world.credited_card()
    attempt_id = await world.started()
    world.fake.faults.add("GET", "/v1/payment_intents", "500", times=99)
    await world.collect(looks=3, wait_s=60)
    assert await world.charges() == [200]
    assert (await world.parts.attempts.get(attempt_id)).state == "open"
    world.fake.faults.clear()
    await world.collect(wait_s=60)
    assert await world.charges() == [800, 200]


async def test_an_unanswered_attempt_is_given_up_before_its_key_is_forgotten(world, ledger):
    await world.credited_card()
    attempt_id = await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "drop_before", times=3)
    await world.collect()
    await world.collect(wait_s=23 * 3600)
    assert await world.charges() == [200]
    (failure,) = ledger.failures(world.account)
    assert (failure.data.class_, failure.data.code) == ("abandoned", "no_answer")
    assert (await world.parts.attempts.get(attempt_id)).state == "failed"


async def test_a_charge_found_after_a_day_is_credited_not_repeated(world, ledger):
    await world.credited_card()
    await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "drop_after", times=3)
    await world.collect()
    await world.collect(wait_s=30 * 3600)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1
    assert ledger.failures(world.account) == []


async def test_an_attempt_first_seen_too_late_is_reported_not_charged(world, ledger):
    await world.credited_card()
    await world.started(at=world.clock.now() - timedelta(hours=1, seconds=1))
    await world.collect()
    assert await world.charges() == [200]
    (failure,) = ledger.failures(world.account)
    assert (failure.data.class_, failure.data.code) == ("abandoned", "seen_too_late")


async def test_two_processes_at_once_charge_once(world, ledger, monkeypatch):
    """Both find nothing, both charge: the key makes it one."""
    await world.credited_card()
    attempt = await world.parts.attempts.get(await world.started())
    collector = world.parts.collector
    both_looked = asyncio.Barrier(2)
    honest = collector._look_up

    async def together(attempt):
        found = await honest(attempt)
        await both_looked.wait()
        return found

    monkeypatch.setattr(collector, "_look_up", together)
    await asyncio.gather(collector.drive(attempt), collector.drive(attempt))
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1


async def test_the_same_event_twice_is_one_attempt(world, ledger):
    await world.credited_card()
    world.clock.advance(1)
    first = await world.started()
    world._position -= 1
    await world.started()
    rows = await world.pool.fetch("select attempt_id from payments.attempts")
    assert [row["attempt_id"] for row in rows] == [first]


async def test_an_attempt_that_starts_again_after_a_restore_is_charged_once(world, ledger):
    """The ledger lost it and admits it anew, elsewhere in a log of a later incarnation."""
    await world.credited_card()
    attempt_id = await world.started()
    await world.collect()
    await world.started(attempt_id=attempt_id, incarnation=2)
    await world.collect(looks=2, wait_s=60)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1


async def test_a_position_used_again_after_a_restore_is_another_attempt(world, ledger):
    """Keyed by the incarnation that is followed, the new event is not taken for the lost one."""
    await world.credited_card()
    world.clock.advance(1)
    lost = await world.started()
    world._position -= 1
    found = await world.started(incarnation=2)
    rows = await world.pool.fetch("select attempt_id from payments.attempts order by incarnation")
    assert [row["attempt_id"] for row in rows] == [lost, found]
    await world.collect()
    assert await world.charges() == [800, 800, 200]


async def test_an_absent_ledger_leaves_a_charged_attempt_to_be_credited(world, ledger):
    await world.credited_card()
    await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "drop_after", times=3)
    await world.collect()
    await ledger.leave()
    await world.collect(wait_s=60)
    await ledger.arrive()
    assert await world.charges() == [800, 200]
    assert ledger.grants(world.account) == []
    await world.collect(wait_s=60)
    assert await world.charges() == [800, 200]
    assert len(ledger.grants(world.account)) == 1


async def test_nothing_is_charged_while_the_ledger_does_not_answer(world, ledger):
    await world.credited_card()
    await world.started()
    await ledger.leave()
    await world.collect(looks=2, wait_s=60)
    await ledger.arrive()
    assert await world.charges() == [200]


async def test_terms_are_fixed_before_the_first_charge(world, ledger):
    """Another card saved meanwhile does not make the repeat another charge."""
    await world.credited_card()
    attempt_id = await world.started()
    world.fake.faults.add("POST", "/v1/payment_intents", "drop_before", times=3)
    await world.collect()
    before = await world.parts.attempts.get(attempt_id)
    customer = (await world.parts.customers.get(world.account)).customer
    await world.parts.customers.save_method(customer, "pm_other")
    await world.collect(wait_s=60)
    after = await world.parts.attempts.get(attempt_id)
    assert after.payment_method == before.payment_method != "pm_other"
    assert await world.charges() == [800, 200]
