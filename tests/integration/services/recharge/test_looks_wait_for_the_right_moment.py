"""RCH-2, RCH-4: when an account is looked at again, and what keeps a recharge from being asked."""

from datetime import timedelta

import nats.errors
import pytest

from libs.events import commands as c
from libs.events.money import NANOS
from libs.runtime.errors import ConnectionLost
from tests.support.deciding import command, release

STARTED = "RechargeStarted"


async def low(world, **options):
    """An account that fell and is stored."""
    spent = options.pop("spent", 11)
    account = world.ledger.open(**options)
    world.ledger.spend(account, spent)
    await world.fell(account)
    return account


def decline(code, **data):
    names = ("required", "available", "reserved", "total", "limit_source", "until", "parameter")
    return {"reply": "Declined", "data": {"code": code, **dict.fromkeys(names), **data}}


@pytest.mark.requirement("RCH-2")
async def test_a_dip_by_holds_is_recharged_after_30_seconds_below(world):
    account = world.ledger.open(basis="available")
    res = world.ledger.hold(account, 15)
    await world.fell(account)
    fell_at = world.ledger.ledger_now()
    assert await world.look(account) == "dip"
    assert (await world.row(account)).look_at == fell_at + timedelta(seconds=30)
    world.ledger.after(seconds=30)
    assert await world.look(account) == "started"
    assert world.ledger.rules.reservations[res].amount == 15 * NANOS


@pytest.mark.requirement("RCH-2")
async def test_a_dip_that_ends_starts_its_wait_anew(world):
    account = world.ledger.open(basis="available", threshold=10)
    world.ledger.hold(account, 10)
    last = world.ledger.hold(account, 1)
    await world.fell(account)
    assert await world.look(account) == "dip"
    world.ledger.run(release(account, last))
    assert await world.look(account) == "not_needed", "at the threshold, but not armed again"
    world.ledger.after(seconds=100)
    world.ledger.hold(account, 1)
    assert await world.look(account) == "dip"
    world.ledger.after(seconds=29)
    assert await world.look(account) == "dip"
    world.ledger.after(seconds=1)
    assert await world.look(account) == "started"


async def test_a_frozen_account_is_recharged_once_it_is_free(world):
    account = await low(world)
    freeze = {"reason": "manual", "revoke_keys": False}
    world.ledger.run(command(c.FreezeAccount, account, freeze))
    assert await world.look(account) == "frozen"
    assert world.ledger.asked == []
    world.ledger.run(command(c.UnfreezeAccount, account, {"reason": "manual"}))
    assert await world.look(account) == "started"


@pytest.mark.requirement("RCH-4")
async def test_back_off_suspension_and_resumption_are_heeded(world):
    account = await low(world)
    for hours in (1, 6, 24):
        assert await world.look(account) == "started"
        world.ledger.fail_attempt(account)
        assert await world.look(account) == "too_early"
        world.ledger.after(hours=hours)
    assert await world.look(account) == "started"
    world.ledger.fail_attempt(account)
    world.ledger.after(days=30)
    assert await world.look(account) == "suspended"
    world.ledger.run(command(c.ResumeRecharge, account, {"reason": "card_changed"}))
    await world.fell(account)
    assert await world.look(account) == "started"
    assert len(world.ledger.of(STARTED, account)) == 5


@pytest.mark.requirement("RCH-4")
async def test_a_back_off_is_looked_at_again_the_moment_it_ends(world):
    account = await low(world)
    await world.look(account)
    world.ledger.fail_attempt(account)
    world.ledger.after(minutes=59, seconds=50)
    assert await world.look(account) == "too_early"
    assert (await world.row(account)).look_at == world.ledger.ledger_now() + timedelta(seconds=10)


@pytest.mark.requirement("RCH-4")
async def test_a_cap_of_the_day_lowers_the_charge_then_stops_until_midnight(world):
    account = await low(world, threshold=15, amount=5, cap_day=20, spent=6)
    assert await world.look(account) == "started"
    world.ledger.grant_attempt(account)
    world.ledger.spend(account, 19)
    await world.fell(account)
    assert await world.look(account) == "started"
    assert [e.data["credits"] for e in world.ledger.of(STARTED, account)] == [
        str(5 * NANOS),
        str(15 * NANOS),
    ]
    world.ledger.grant_attempt(account)
    world.ledger.spend(account, 10)
    await world.fell(account)
    assert await world.look(account) == "cap"
    asked = len(world.ledger.asked)
    assert await world.look(account) == "cap"
    assert len(world.ledger.asked) == asked, "the cap is known: nothing is asked again"
    world.ledger.after(hours=12)
    assert await world.look(account) == "started"


async def test_what_is_switched_off_is_left_alone_until_it_is_armed(world):
    account = await low(world)
    world.ledger.configure(account, enabled=False)
    assert await world.look(account) == "disabled"
    assert world.ledger.asked == []
    world.ledger.configure(account, threshold=5)
    assert await world.look(account) == "rearmed"


@pytest.mark.parametrize(
    ("code", "data", "seconds"),
    [
        ("recharge_not_needed", {}, 30),
        ("recharge_open", {}, 30),
        ("recharge_suspended", {}, 30),
        ("recharge_disabled", {}, 30),
        ("recharge_cap_charge", {"required": "1", "total": "0"}, 30),
        ("account_frozen", {}, 30),
        ("account_closed", {}, 30),
        ("unknown_account", {}, 30),
        ("deadline_passed", {}, 5),
        ("recharge_too_early", {"until": "2026-11-20T12:00:09.000000Z"}, 9),
        ("recharge_too_early", {"until": "2026-11-21T12:00:00.000000Z"}, 30),
        ("recharge_too_early", {}, 30),
        ("not_integral", {}, 30),
        ("invented_code", {}, 30),
    ],
)
@pytest.mark.requirement("RCH-2")
async def test_every_decline_is_written_down_and_looked_at_again(world, code, data, seconds):
    account = await low(world)
    world.ledger.declining = decline(code, **data)
    assert await world.look(account) == code
    assert await world.attempts(account) == [("refused", code)]
    wait = (await world.row(account)).look_at - world.ledger.ledger_now()
    assert wait == timedelta(seconds=seconds)
    assert world.ledger.of(STARTED, account) == []


@pytest.mark.parametrize("code", ["not_integral", "invented_code"])
async def test_what_only_a_person_can_mend_is_not_asked_again_for_an_hour(world, code):
    account = await low(world)
    world.ledger.declining = decline(code)
    await world.look(account)
    assert await world.look(account) == "too_early"
    assert len(world.ledger.asked) == 1
    world.ledger.after(hours=1)
    world.ledger.declining = None
    assert await world.look(account) == "started"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ({"reply": "Conflict", "data": {"code": "fingerprint"}}, "conflict_fingerprint"),
        ({"reply": "Malformed", "data": {"error": "x"}}, "malformed"),
        ({"reply": "RejectedByStore", "data": {"sqlstate": "23514"}}, "rejected_by_store"),
    ],
)
async def test_other_final_replies_close_the_attempt_too(world, reply, code):
    account = await low(world)
    world.ledger.declining = reply
    assert await world.look(account) == code
    assert await world.attempts(account) == [("refused", code)]
    assert await world.look(account) == "too_early"


async def test_while_the_ledger_is_away_nothing_is_concluded(world):
    account = await low(world)
    world.ledger.away = True
    assert await world.look(account) == "ledger_away"
    row = await world.row(account)
    assert row.look_at == world.ledger.ledger_now() + timedelta(seconds=5)
    world.ledger.away = False
    assert await world.look(account) == "started"


async def test_an_account_whose_data_cannot_be_read_does_not_stop_the_others(world, caplog):
    account, other = await low(world), await low(world)
    broken = world.ledger.recharge
    world.ledger.recharge = lambda a: {} if a == account else broken(a)
    assert await world.look(account) == "failed"
    assert await world.look(other) == "started"
    assert "failed" in caplog.text


@pytest.mark.requirement("RCH-2")
async def test_a_sweep_names_itself_as_the_trigger(world):
    account = await low(world)
    await world.look(account, "sweep:2026-11-20T12:00:00.000000Z")
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["trigger"] == "sweep:2026-11-20T12:00:00.000000Z"


async def test_a_fall_reported_as_too_old_is_never_acted_on(world):
    account = world.ledger.open()
    world.ledger.spend(account, 11)
    await world.fell(account, state="reported")
    assert await world.look(account) == "reported"
    assert await world.look(account, "sweep:x") == "reported"
    assert world.ledger.asked == []
    world.ledger.configure(account, threshold=15)
    await world.fell(account)
    assert await world.look(account) == "started", "a new fall is acted on"


@pytest.mark.requirement("RCH-1")
@pytest.mark.parametrize(
    ("currency", "price"),
    [("EUR", ("EUR", 750)), ("USD", ("USD", 800)), (None, ("USD", 800)), ("JPY", ("USD", 800))],
)
async def test_credits_are_bought_by_the_pack_in_the_currency_of_the_last_order(
    world, currency, price
):
    world.currency = currency
    account = await low(world, unit="CREDIT", plan="studio", amount=0)
    assert await world.look(account) == "started"
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["credits"] == str(500 * NANOS)
    assert (event.data["price"]["currency"], event.data["price"]["minor"]) == price


async def test_an_amount_of_credits_is_priced_by_the_pack(world):
    account = await low(world, unit="CREDIT", plan="studio", amount=30)
    await world.look(account)
    (event,) = world.ledger.of(STARTED, account)
    assert event.data["credits"] == str(30 * NANOS)
    assert event.data["price"] == {"currency": "USD", "minor": 48}


@pytest.mark.parametrize(
    "answer",
    [
        nats.errors.NoRespondersError(),
        nats.errors.TimeoutError(),
        ConnectionLost("broken"),
        b"not json",
        b'{"ok": false, "code": "busy"}',
        b'{"ok": true}',
    ],
)
async def test_a_currency_that_cannot_be_learned_is_not_guessed(world, answer):
    account = await low(world, unit="CREDIT", plan="studio")
    world.payments = answer
    assert await world.look(account) == "payments_away"
    assert world.ledger.asked == []
    assert (await world.row(account)).look_at == world.ledger.ledger_now() + timedelta(seconds=5)
    world.payments = None
    assert await world.look(account) == "started"


async def test_without_a_pack_to_buy_nothing_is_asked(world):
    account = await low(world, unit="CREDIT", plan="gone")
    assert await world.look(account) == "no_offer"
    money = await low(world, amount=0)
    assert await world.look(money) == "no_amount"
    assert world.ledger.asked == []
