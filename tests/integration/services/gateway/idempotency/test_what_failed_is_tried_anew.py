"""A repeat of what was charged nothing is the next try, as soon as nothing is held for the last one."""

import asyncio

import pytest

from simulators.provider.app import RunningProvider
from tests.support.deciding import grant
from tests.support.gateway import DOLLAR, all_closed, script, until
from tests.support.repeats import Pair, ask, code, customer

pytestmark = pytest.mark.requirement("RSV-3", "RSV-6")


async def test_a_failure_that_was_charged_nothing_is_tried_anew_anywhere(
    pair: Pair, provider: RunningProvider
):
    one, other = pair
    key = customer(one)
    script(provider, status=400, times=3)
    for worker in (one, one, other):
        assert (await ask(worker, key)).status_code == 400
    answer = await ask(one, key)
    assert answer.status_code == 200
    released = [event["res"] for event in one.ledger.events("CreditsReleased")]
    [charged] = one.ledger.events("CreditsCharged")
    assert len({*released, charged["res"]}) == 4
    assert charged["res"] == answer.headers["x-request-id"]
    assert code(await ask(other, key)) == (409, "idempotency_not_replayable")


async def test_a_try_that_may_still_be_held_is_not_followed_by_another(
    pair: Pair, provider: RunningProvider
):
    one = pair[0]
    key = customer(one)
    script(provider, status=400)
    one.ledger.unheard.add("Release")
    assert (await ask(one, key)).status_code == 400
    for worker in pair:
        assert code(await ask(worker, key)) == (409, "idempotency_in_progress")
    one.ledger.unheard.clear()
    await one.worker.replay.round()
    assert (await ask(one, key)).status_code == 200
    assert len(one.ledger.events("CreditsReserved")) == len(provider.record.calls) == 2


async def test_a_declined_request_may_be_repeated_when_there_is_money(
    pair: Pair, provider: RunningProvider
):
    gateway = pair[0]
    account = gateway.ledger.account(0)
    key = gateway.ledger.key(account)
    assert (await ask(gateway, key)).status_code == 402
    gateway.ledger.run(grant(account, DOLLAR))
    assert (await ask(pair[1], key)).status_code == 200
    assert len(provider.record.calls) == 1


async def test_an_unanswered_reserve_of_one_worker_never_gives_back_what_another_holds(
    pair: Pair, provider: RunningProvider
):
    """The undo of the first is replayed while the second runs, and finds that it holds nothing."""
    one, other = pair
    key = customer(one)
    one.ledger.unheard.add("Reserve")
    assert (await ask(one, key)).status_code == 503
    one.ledger.unheard.clear()
    script(provider, hold=True)
    running = asyncio.create_task(ask(other, key))
    await until(lambda: provider.record.calls)
    await one.worker.replay.round()
    assert one.worker.journal.entries() == []
    assert one.ledger.reserved(one.ledger.rules.events[0].account_id) > 0
    provider.record.release()
    assert (await running).status_code == 200
    assert len(one.ledger.events("CreditsCharged")) == 1


async def test_a_hold_whose_reply_was_lost_is_given_back_and_tried_anew(
    pair: Pair, provider: RunningProvider
):
    one, other = pair
    key = customer(one)
    one.ledger.lost.add("Reserve")
    assert (await ask(one, key)).status_code == 503
    one.ledger.lost.clear()
    assert code(await ask(other, key)) == (409, "idempotency_in_progress")
    await one.worker.replay.round()
    await all_closed(one.ledger)
    assert (await ask(other, key)).status_code == 200
    assert len(provider.record.calls) == len(one.ledger.events("CreditsCharged")) == 1
