"""RCH-3: whatever breaks between deciding and hearing, one need makes one attempt."""

import asyncio

import pytest

from libs.events.ids import new_id
from services.recharge.store import Attempt

STARTED = "RechargeStarted"


@pytest.mark.requirement("RCH-2", "RCH-5")
async def test_a_fall_is_recharged_and_watched_until_the_account_is_armed(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    assert await world.look(account) == "started"
    assert await world.attempts(account) == [("started", "started")]
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["price"] == {"currency": "USD", "minor": 1000}
    assert event.data["trigger"] == f"1-0-{(await world.row(account)).position}"
    assert await world.look(account) == "attempt_open"
    world.ledger.grant_attempt(account)
    assert await world.look(account) == "rearmed"
    assert await world.row(account) is None
    assert len(world.ledger.of(STARTED, account)) == 1


@pytest.mark.requirement("RCH-3")
async def test_a_crash_between_storing_and_sending_repeats_the_same_attempt(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    world.ledger.deaf = True
    assert await world.look(account) == "ledger_away"
    stored = await world.store.stored_attempt(account)
    world.ledger.deaf = False
    world.ledger.after(minutes=10)
    assert await world.look(account) == "started"
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["attempt_id"] == stored.attempt_id
    assert await world.attempts(account) == [("started", "started")]


@pytest.mark.requirement("RCH-3")
async def test_a_lost_reply_makes_no_second_attempt(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    world.ledger.losing_replies = True
    assert await world.look(account) == "ledger_away"
    assert len(world.ledger.of(STARTED, account)) == 1
    world.ledger.losing_replies = False
    assert await world.look(account) == "attempt_open"
    assert await world.attempts(account) == [("stored", None)]
    world.ledger.after(seconds=7)
    assert await world.look(account) == "attempt_open"
    assert await world.attempts(account) == [("started", "started")]
    assert len(world.ledger.of(STARTED, account)) == 1


@pytest.mark.requirement("RCH-3")
async def test_a_lost_reply_of_a_recharge_that_is_done_makes_no_second_charge(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    world.ledger.losing_replies = True
    await world.look(account)
    world.ledger.losing_replies = False
    world.ledger.grant_attempt(account)
    world.ledger.spend(account, 10)
    await world.fell(account)
    assert await world.look(account) == "started", "the old attempt's first reply is heard"
    assert len(world.ledger.of(STARTED, account)) == 1
    assert await world.attempts(account) == [("started", "started")]
    assert await world.look(account) == "started", "the new need gets its own attempt"
    assert len(world.ledger.of(STARTED, account)) == 2


@pytest.mark.requirement("RCH-3")
async def test_an_attempt_never_sent_is_replaced_when_something_else_is_needed(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    now = world.ledger.ledger_now()
    old = Attempt(new_id("rchg"), account, 10 * 10**9, "USD", 1000, "1-0-1", now)
    assert await world.store.save_attempt(old, now)
    world.ledger.spend(account, 9)
    world.ledger.configure(account, threshold=25)
    await world.fell(account)
    assert await world.look(account) == "attempt_stored", "it may still be on its way"
    world.ledger.after(seconds=2)
    assert await world.look(account) == "started"
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["credits"] == str(30 * 10**9)
    assert event.data["attempt_id"] != old.attempt_id
    assert await world.attempts(account) == [
        ("refused", "deadline_passed"),
        ("started", "started"),
    ]


@pytest.mark.requirement("RCH-3")
async def test_processes_that_look_at_the_same_time_start_one_attempt(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    row = await world.row(account)
    outcomes = await asyncio.gather(*(world.looker().look(row) for _ in range(8)))
    assert "started" in outcomes
    assert len(world.ledger.of(STARTED, account)) == 1


@pytest.mark.requirement("RCH-3")
async def test_only_one_attempt_of_an_account_can_wait_for_its_answer(world):
    account, now = new_id("acct"), world.ledger.ledger_now()
    first = Attempt(new_id("rchg"), account, 1, "USD", 1, "1-0-1", now)
    second = Attempt(new_id("rchg"), account, 2, "USD", 2, "1-0-2", now)
    assert await world.store.save_attempt(first, now)
    assert not await world.store.save_attempt(second, now)
    await world.store.close_attempt(first.attempt_id, "refused", "recharge_open", now)
    assert await world.store.save_attempt(second, now)


async def test_a_newer_fall_survives_what_an_older_look_concludes(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account)
    old = await world.row(account)
    await world.look(account)
    world.ledger.grant_attempt(account)
    world.ledger.spend(account, 10)
    await world.fell(account)
    await world.store.forget(old)
    await world.store.plan(old, "stale")
    newer = await world.row(account)
    assert newer.position > old.position
    assert newer.look_at <= world.ledger.ledger_now()


async def test_an_event_that_comes_twice_or_late_changes_nothing(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    first = world.ledger.last_fall(account)
    await world.fell(account)
    await world.look(account)
    planned = await world.row(account)
    await world.fell(account)
    assert await world.row(account) == planned
    world.ledger.grant_attempt(account)
    world.ledger.spend(account, 10)
    await world.fell(account)
    newer = await world.row(account)
    await world.saw(first)
    assert await world.row(account) == newer
