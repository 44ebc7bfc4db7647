from tests.support.stripe_types import param_problems


async def test_every_parameter_sent_to_stripe_is_known_to_the_sdk(world, ledger):
    """A stand-in takes anything: the SDK's typed parameters are the measure."""
    method = await world.credited_card()
    await world.started()
    await world.collect()
    world.fake.methods.behave_like(method, "pm_card_visa_chargeDeclined")
    await world.started()
    await world.collect()
    await world.parts.reconciler.run()
    await world.parts.desk._checkout.save_card(world.account, "k")
    await world.parts.desk._checkout.portal(world.account)
    sent = {(verb, path.split("/")[2]) for verb, path, _ in world.fake.calls}
    assert ("POST", "billing_portal") in sent
    assert ("GET", "events") in sent
    assert [problem for call in world.fake.calls for problem in param_problems(*call)] == []
