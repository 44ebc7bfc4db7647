"""Refunds and clawbacks through the real writer: repeats, eviction, restart, cold rows."""

import random
from datetime import timedelta

import orjson
import pytest

from libs.events.commands import ExpireGrant
from libs.events.events import TYPE_NAMES
from libs.events.ids import new_id
from services.ledger.verify import verify
from tests.support.credit_lives import STEPS, Life
from tests.support.deciding import (
    clawback,
    command,
    correct,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    reverse,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

DISPUTE = "dispute:dp_1"
UNUSUAL = {"CreditsRefunded", "CreditsClawedBack", "ClawbackReversed", "CreditsExpired"}


@pytest.fixture
async def bench(database):
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


async def forget(bench):
    """As after a restart: nothing in memory but the open reservations."""
    await bench.writer.take_over()


async def bought(bench, amount=1000, **data):
    account, key = account_in(0), new_id("key")
    replies = await bench.run(
        open_account(account),
        issue_key(account, key, bench.at),
        grant(account, amount, source="purchase", payment="pi_1", **data),
    )
    assert [reply["reply"] for reply in replies] == ["Opened", "Issued", "Granted"]
    return account, key


async def charged(bench, account, key, amount):
    res = new_id("req")
    hold = reserve(account, key, amount, bench.at, res=res)
    _, settled = await bench.run(hold, settle(account, res, amount))
    assert settled["reply"] == "Settled"
    return res


async def row(bench, account):
    found = await bench.connection.fetchrow(
        "select available, reserved from ledger.accounts where account_id = $1", account[5:]
    )
    return found["available"], found["reserved"]


async def lots(bench, account):
    rows = await bench.connection.fetch(
        "select grant_no, granted, clawed, shortfall, causes from ledger.granted"
        " where account_id = $1 order by grant_no",
        account[5:],
    )
    return [(*found[:4], orjson.loads(found[4])) for found in rows]


async def differences(database):
    await project(database)
    async with connection_of(database, "auditor") as auditor:
        return (await verify(auditor, lambda _line: None)).differences


@pytest.mark.requirement("CRD-7", "RSV-3")
async def test_a_refund_is_decided_from_the_log_and_repeated_from_it(bench, database):
    account, key = await bought(bench)
    res = await charged(bench, account, key, 600)
    await forget(bench)
    first = refund(account, res, 400)
    (refunded,) = await bench.run(first)
    assert refunded["reply"] == "Refunded"
    assert refunded["data"] == {
        "res": res, "refund_no": 1, "amount": "400", "child": None,
        "available": "800", "reserved": "0",
    }  # fmt: skip
    await forget(bench)
    assert await bench.run(first) == [refunded]
    (refused,) = await bench.run(refund(account, res, 201, 2))
    assert (refused["data"]["code"], refused["data"]["total"]) == ("refund_exceeds_charge", "200")
    await bench.run(refund(account, res, 200, 3))
    assert await row(bench, account) == (1000, 0)
    assert await differences(database) == []


@pytest.mark.requirement("CRD-7")
async def test_charge_and_refunds_of_one_batch_are_one_after_the_other(bench, database):
    account, key = await bought(bench)
    res = new_id("req")
    replies = await bench.run(
        reserve(account, key, 1000, bench.at, res=res),
        refund(account, res, 1),
        settle(account, res, 1000),
        refund(account, res, 600),
        refund(account, res, 500, 2),
        refund(account, res, 400, 3),
    )
    told = [reply["data"].get("code", reply["reply"]) for reply in replies]
    exceeds = "refund_exceeds_charge"
    assert told == ["Reserved", exceeds, "Settled", "Refunded", exceeds, "Refunded"]
    await forget(bench)
    (late,) = await bench.run(refund(account, res, 1, 4))
    assert late["data"]["code"] == exceeds
    assert await differences(database) == []


@pytest.mark.requirement("CRD-7", "ACC-2")
async def test_another_accounts_charge_of_the_same_batch_is_unknown(bench):
    account, key = await bought(bench)
    other, _ = await bought(bench)
    res = new_id("req")
    replies = await bench.run(
        reserve(account, key, 100, bench.at, res=res),
        settle(account, res, 100),
        refund(other, res, 50),
    )
    assert replies[-1]["data"]["code"] == "unknown_reservation"
    await forget(bench)
    (again,) = await bench.run(refund(other, res, 50, 2))
    assert again["data"]["code"] == "unknown_reservation"
    assert await row(bench, other) == (1000, 0)


@pytest.mark.requirement("PAY-4", "CRD-7")
async def test_refund_to_expired_grant_then_chargeback_never_exceeds_payment(bench, database):
    account, key = await bought(bench, expires_at=bench.at + timedelta(seconds=30))
    res = await charged(bench, account, key, 1000)
    bench.clock.advance(60.0)
    await forget(bench)
    (refunded,) = await bench.run(refund(account, res, 700))
    child = refunded["data"]["child"]
    assert (child["grant_no"], child["parent_no"]) == (2, 1)
    await forget(bench)
    dispute = clawback(account, "pi_1", 500, 500, DISPUTE)
    (taken,) = await bench.run(dispute)
    assert taken["data"] == {
        "cause": DISPUTE, "payment": "pi_1", "grants": [1, 2], "amount": "700", "due": "0",
        "shortfall": "300", "available": "0", "reserved": "0",
    }  # fmt: skip
    both = {DISPUTE: 1000}
    assert await lots(bench, account) == [(1, 1000, 0, 300, both), (2, 0, 700, 0, both)]
    await forget(bench)
    assert await bench.run(dispute) == [taken]
    (nothing,) = await bench.run(clawback(account, "pi_1", 500, 500, "refund:re_1"))
    assert [nothing["data"][name] for name in ("amount", "due", "shortfall")] == ["0", "0", "0"]
    assert await differences(database) == []


@pytest.mark.requirement("PAY-4")
async def test_reserved_credits_do_not_escape_clawback(bench, database):
    account, key = await bought(bench)
    kept, back = new_id("req"), new_id("req")
    await bench.run(
        reserve(account, key, 600, bench.at, res=kept),
        reserve(account, key, 300, bench.at, res=back),
    )
    (taken,) = await bench.run(clawback(account, "pi_1", 1, 1, DISPUTE))
    assert [taken["data"][name] for name in ("amount", "due", "shortfall")] == ["100", "900", "0"]
    await forget(bench)
    (released,) = await bench.run(release(account, back))
    assert (released["data"]["available"], await row(bench, account)) == ("0", (0, 600))
    await bench.run(settle(account, kept, 450))
    assert await lots(bench, account) == [(1, 1000, 550, 450, {DISPUTE: 1000})]
    assert await differences(database) == []


@pytest.mark.requirement("PAY-4")
async def test_a_won_dispute_restores_a_grant_that_was_taken_whole(bench, database):
    account, key = await bought(bench, priority=4)
    await charged(bench, account, key, 250)
    await bench.run(clawback(account, "pi_1", 1, 1, DISPUTE))
    assert await row(bench, account) == (0, 0)
    await forget(bench)
    (restored,) = await bench.run(reverse(account, DISPUTE))
    amounts = [restored["data"][n] for n in ("amount", "due_cancelled", "shortfall_cancelled")]
    assert (restored["reply"], amounts) == ("Reversed", ["750", "0", "250"])
    assert await lots(bench, account) == [(1, 1000, 0, 0, {})]
    await forget(bench)
    assert await bench.run(reverse(account, DISPUTE)) == [restored]
    await charged(bench, account, key, 750)
    assert await differences(database) == []


@pytest.mark.requirement("PAY-4", "PAY-5")
async def test_claims_of_one_batch_see_each_other(bench, database):
    account, key = await bought(bench)
    res = new_id("req")
    replies = await bench.run(
        grant(account, 500, source="purchase", payment="pi_2"),
        reserve(account, key, 1200, bench.at, res=res),
        clawback(account, "pi_2", 1, 2, "refund:re_1"),
        clawback(account, "pi_1", 1, 1, DISPUTE),
        clawback(account, "pi_2", 4, 4, "refund:re_2"),
        reverse(account, "refund:re_2"),
        release(account, res),
        reverse(account, DISPUTE),
        correct(account, 50),
    )
    told = [reply["reply"] for reply in replies[2:]]
    assert told == [*["ClawedBack"] * 3, "Reversed", "Released", "Reversed", "ClawedBack"]
    assert await row(bench, account) == (1000 + 250 - 50, 0)
    expected = [(1, 1000, 0, 0, {}), (2, 500, 250, 0, {"refund:re_1": 250})]
    assert await lots(bench, account) == expected
    assert await differences(database) == []


async def test_what_nobody_granted_is_unknown(bench):
    account, _ = await bought(bench)
    replies = await bench.run(
        clawback(account, "pi_9", 1, 1, DISPUTE), reverse(account, DISPUTE), correct(account, 1001)
    )
    codes = [reply["data"]["code"] for reply in replies]
    assert codes == ["unknown_payment", "unknown_cause", "insufficient_balance"]


@pytest.mark.requirement("CRD-7")
async def test_the_statement_and_the_receipt_show_what_came_back_and_was_taken(bench, database):
    account, key = await bought(bench, expires_at=bench.at + timedelta(seconds=30))
    res = await charged(bench, account, key, 400)
    await bench.run(refund(account, res, 100))
    await bench.run(clawback(account, "pi_1", 1, 2, DISPUTE), correct(account, 20))
    await bench.run(reverse(account, DISPUTE))
    bench.clock.advance(60.0)
    caller = f"expire_grant:{account}:1"
    await bench.run(command(ExpireGrant, account, {"grant_no": 1}, caller_id=caller))
    await project(database)
    rows = await returns(database, account)
    assert rows == [
        ("refund", 100, "goodwill"), ("clawback", -500, DISPUTE), ("adjustment", -20, "adjustment"),
        ("clawback", 500, DISPUTE), ("expiry", -680, "shelf"),
    ]  # fmt: skip
    async with connection_of(database, "reader") as reader:
        query = "select charge, refunded from ledger.requests where reservation_id = $1"
        assert tuple(await reader.fetchrow(query, res[4:])) == (400, 100)


async def returns(database, account):
    async with connection_of(database, "reader") as reader:
        rows = await reader.fetch(
            "select type, amount, reason_code from ledger.entries where account_id = $1"
            " and type in ('refund', 'clawback', 'adjustment', 'expiry') order by position, line",
            account[5:],
        )
    return [tuple(found) for found in rows]


@pytest.mark.requirement("AUD-6", "CRD-5")
@pytest.mark.parametrize("seed", range(4))
async def test_a_random_life_of_credits_verifies(bench, database, seed):
    chance = random.Random(seed)
    lives = [Life(account=account_in(0)) for _ in range(2)]
    for life in lives:
        life.rules.at = bench.at
        await bench.run(*life.begin())
    for _ in range(60):
        batch = []
        for _ in range(chance.randint(1, 5)):
            life = chance.choice(lives)
            before = life.rules.at = max(bench.at, life.rules.at)
            step = (chance.choice(STEPS), chance.randint(0, 9), chance.randint(1, 200))
            told = life.command(*step)
            bench.clock.advance((life.rules.at - before).total_seconds())
            batch += [told] if told else []
        await bench.run(*batch)
        if chance.random() < 0.2:
            await forget(bench)
    assert await differences(database) == []
    types = await bench.connection.fetch("select distinct type from ledger.events")
    assert {TYPE_NAMES[row["type"]] for row in types} >= UNUSUAL


async def test_expired_holds_are_refused_no_more_than_before(bench):
    """A command on a closed hold finds it although a grant of the account has just expired."""
    account, key = await bought(bench)
    await bench.run(grant(account, 5, expires_at=bench.at + timedelta(seconds=90)))
    res = new_id("req")
    await bench.run(reserve(account, key, 10, bench.at, res=res))
    bench.clock.advance(61.0)
    await bench.run(expire(account, res))
    bench.clock.advance(60.0)
    (late,) = await bench.run(settle(account, res, 4))
    assert late["reply"] == "Settled"


@pytest.mark.requirement("RSV-4", "CRD-7")
async def test_a_late_settlement_and_its_refund_in_one_batch(bench, database):
    account, key = await bought(bench)
    res = new_id("req")
    await bench.run(reserve(account, key, 500, bench.at, res=res))
    bench.clock.advance(61.0)
    await bench.run(expire(account, res))
    await forget(bench)
    replies = await bench.run(
        refund(account, res, 1), settle(account, res, 300), refund(account, res, 200, 2)
    )
    told = [reply["data"].get("code", reply["reply"]) for reply in replies]
    assert told == ["refund_exceeds_charge", "Settled", "Refunded"]
    assert (replies[1]["data"]["charge"], replies[1]["data"]["loss"]) == ("300", "0")
    assert await row(bench, account) == (900, 0)
    await forget(bench)
    (refused,) = await bench.run(refund(account, res, 101, 3))
    assert refused["data"]["total"] == "100"
    assert await differences(database) == []
