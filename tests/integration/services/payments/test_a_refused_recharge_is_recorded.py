"""A failure reaches the ledger once the payment can no longer succeed."""

import pytest


@pytest.mark.parametrize(
    ("token", "kind", "code"),
    [
        ("pm_card_visa_chargeDeclined", "soft", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "soft", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedStolenCard", "hard", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "hard", "expired_card"),
        ("pm_card_authenticationRequired", "authentication", "authentication_required"),
    ],
)
async def test_a_decline_is_recorded_with_its_class(world, ledger, token, kind, code):
    method = await world.credited_card()
    world.fake.methods.behave_like(method, token)
    attempt_id = await world.started()
    await world.collect()
    (failure,) = ledger.failures(world.account)
    assert failure.caller_id == f"failed:{attempt_id}"
    assert (failure.data.class_, failure.data.code) == (kind, code)
    intent = world.fake.store.get("payment_intent", failure.data.payment)
    assert intent["status"] == "canceled", "else the customer could still pay it later"
    assert (await world.parts.attempts.get(attempt_id)).state == "failed"
    assert await world.charges() == [200]


async def test_a_declined_attempt_is_not_tried_again(world, ledger):
    method = await world.credited_card()
    world.fake.methods.behave_like(method, "pm_card_visa_chargeDeclined")
    await world.started()
    await world.collect()
    world.fake.methods.behave_like(method, "pm_card_visa")
    await world.deliver(copies=2)
    await world.collect(looks=5, wait_s=3600)
    assert await world.charges() == [200]
    assert len(ledger.failures(world.account)) == 1


async def test_a_crash_after_the_decline_records_the_same_failure(world, ledger, monkeypatch):
    from services.payments.errors import StripeUnavailable

    method = await world.credited_card()
    world.fake.methods.behave_like(method, "pm_card_visa_chargeDeclinedStolenCard")
    await world.started()

    async def dies(*_args):
        raise StripeUnavailable("killed here")

    with monkeypatch.context() as crash:
        crash.setattr(type(world.parts.collector), "_fail", dies)
        await world.collect()
    assert ledger.failures(world.account) == []
    await world.collect(wait_s=60)
    (failure,) = ledger.failures(world.account)
    assert (failure.data.class_, failure.data.code) == ("hard", "stolen_card")
    assert len(world.fake.store.find("payment_intent", status="canceled")) == 1


async def test_a_payment_faster_than_its_cancelling_is_credited(world, ledger, monkeypatch):
    """The customer paid the refused PaymentIntent before it could be cancelled."""
    method = await world.credited_card()
    world.fake.methods.behave_like(method, "pm_card_visa_chargeDeclined")
    await world.started()
    honest = world.fake.intents.cancel

    def paid_first(params, ident):
        world.fake.methods.behave_like(method, "pm_card_visa")
        world.fake.intents.confirm({"payment_method": method}, ident)
        return honest(params, ident)

    for index, (verb, pattern, handler) in enumerate(world.fake._routes._table):
        if handler == honest:
            world.fake._routes._table[index] = (verb, pattern, paid_first)
    await world.collect()
    assert ledger.failures(world.account) == []
    assert len(ledger.grants(world.account)) == 1
    assert await world.charges() == [800, 200]


async def test_without_a_saved_card_nothing_is_charged(world, ledger):
    attempt_id = await world.started()
    await world.collect()
    (failure,) = ledger.failures(world.account)
    assert (failure.data.class_, failure.data.code) == ("hard", "no_payment_method")
    assert failure.data.payment is None
    assert (await world.parts.attempts.get(attempt_id)).state == "failed"


async def test_a_detached_card_is_not_charged(world, ledger):
    method = await world.credited_card()
    world.fake.methods.detach({}, method)
    await world.deliver()
    assert (await world.parts.customers.get(world.account)).payment_method is None
    await world.started()
    await world.collect()
    assert await world.charges() == [200]
    assert ledger.failures(world.account)[0].data.code == "no_payment_method"


async def test_a_refusal_without_a_payment_is_a_hard_failure(world, ledger):
    """Stripe refuses the call itself: the customer was deleted, its event not yet delivered."""
    await world.credited_card()
    customer = (await world.parts.customers.get(world.account)).customer
    world.fake.customers.delete({}, customer)
    await world.started()
    await world.collect()
    (failure,) = ledger.failures(world.account)
    assert (failure.data.class_, failure.data.code) == ("hard", "resource_missing")


async def test_a_failure_that_the_ledger_does_not_take_is_for_a_person(world, ledger):
    ledger.decline = "unknown_attempt"
    attempt_id = await world.started()
    await world.collect()
    row = await world.pool.fetchrow(
        "select state, error from payments.attempts where attempt_id = $1", attempt_id
    )
    assert row["state"] == "quarantined"
    assert "unknown_attempt" in row["error"]


async def test_an_attempt_that_was_closed_before_is_done(world, ledger):
    ledger.decline = "already_closed"
    attempt_id = await world.started()
    await world.collect()
    assert (await world.parts.attempts.get(attempt_id)).state == "failed"


async def test_an_absent_ledger_leaves_the_failure_to_be_recorded(world, ledger):
    method = await world.credited_card()
    world.fake.methods.behave_like(method, "pm_card_visa_chargeDeclined")
    await world.started()
    world.fake.faults.add("POST", "cancel", "drop_after", times=3)
    await world.collect()
    assert ledger.failures(world.account) == []
    await ledger.leave()
    await world.collect(wait_s=60)
    await ledger.arrive()
    assert ledger.failures(world.account) == []
    await world.collect(wait_s=60)
    assert [failure.data.code for failure in ledger.failures(world.account)] == ["generic_decline"]
