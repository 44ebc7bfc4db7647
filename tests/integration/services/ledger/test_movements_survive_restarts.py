"""Rules that need the past: the log and the rows tell it after a restart as memory did before."""

from datetime import timedelta

import orjson
import pytest

from libs.events import commands as c
from libs.events.ids import new_id, uuid8
from services.ledger.verify import verify
from tests.support.deciding import (
    attach,
    command,
    detach,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
DAY = 24 * 3600.0


@pytest.fixture
async def bench(database):
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


async def rich(bench, amount=1000, **key_data):
    account, key = account_in(0), new_id("key")
    replies = await bench.run(
        open_account(account), issue_key(account, key, bench.at, **key_data), grant(account, amount)
    )
    assert [reply["reply"] for reply in replies] == ["Opened", "Issued", "Granted"]
    return account, key


def told(replies):
    return [reply["data"].get("code", reply["reply"]) for reply in replies]


def extend(account, res, at, used=0):
    data = {"res": res, "total": 90, "hold_ms": 60_000, "used_so_far": used}
    return command(c.Extend, account, data, caller_id=f"extend:{res}:1", deadline=at)


@pytest.mark.requirement("RSV-3", "ACC-2")
@pytest.mark.parametrize("ended", ["open", "settled", "released", "expired"])
async def test_other_tenants_reservation_id_is_foreign(bench, ended):
    """Whether the hold is open or not, in memory, in the same batch or only in the log."""
    (account, key), (thief, other) = await rich(bench), await rich(bench)
    res = new_id("req")
    hold = reserve(account, key, 60, bench.at, res=res)

    def stolen():
        return [
            extend(thief, res, bench.at), attach(thief, res, "c", 1, bench.at), settle(thief, res, 1), release(thief, res),
            expire(thief, res), refund(thief, res, 1), detach(thief, res, "c", 1),
        ]  # fmt: skip

    first = await bench.run(hold, *stolen())
    assert told(first) == ["Reserved", *["unknown_reservation"] * 7], "in one batch"
    if ended == "open":
        assert told(await bench.run(reserve(thief, other, 5, bench.at, res=res))) == [
            "unknown_reservation"
        ]
    else:
        bench.clock.advance(61.0)
        ending = {"settled": settle(account, res, 50), "released": release(account, res)}
        await bench.run(ending.get(ended) or expire(account, res))
    assert told(await bench.run(*stolen())) == ["unknown_reservation"] * 7, "from memory"
    await bench.writer.take_over()
    assert told(await bench.run(*stolen())) == ["unknown_reservation"] * 7, "from the log"
    query = "select available, reserved from ledger.accounts where account_id = $1"
    assert tuple(await bench.connection.fetchrow(query, thief[5:])) == (1000, 0)


@pytest.mark.requirement("RSV-3", "RSV-7")
@pytest.mark.parametrize("ended", ["settled", "released", "expired"])
async def test_a_derived_id_of_another_tenant_is_never_opened_again(bench, database, ended):
    """A closed reservation too: an id that is made from a client's words is looked up."""
    (account, key), (thief, other) = await rich(bench), await rich(bench)
    res = f"req_{uuid8(new_id('req').encode()).hex}"
    theft = reserve(thief, other, 5, bench.at + timedelta(minutes=5), res=res)
    endings = {"settled": settle(account, res, 50), "released": release(account, res)}
    hold = reserve(account, key, 60, bench.at, res=res)
    await bench.run(hold)
    bench.clock.advance(61.0)
    replies = await bench.run(endings.get(ended) or expire(account, res), theft)
    assert told(replies)[1] == "unknown_reservation", "in the same batch"
    assert told(await bench.run(theft)) == ["unknown_reservation"], "from memory"
    await bench.writer.take_over()
    assert told(await bench.run(theft)) == ["unknown_reservation"], "from the log"
    assert told(await bench.run(hold)) == ["Reserved"], "its owner gets the first reply"
    assert await differences(database) == []


@pytest.mark.requirement("ACC-4")
async def test_cap_window_settle_next_day_and_rotation(bench, database):
    account, key = await rich(bench, cap_day=100)
    yesterday, today, fresh = new_id("req"), new_id("req"), new_id("key")
    await bench.run(reserve(account, key, 100, bench.at, res=yesterday))
    bench.clock.advance(DAY)
    await bench.writer.take_over()
    replies = await bench.run(
        reserve(account, key, 100, bench.at, res=today),
        settle(account, yesterday, 10),
        reserve(account, key, 1, bench.at),
    )
    assert told(replies) == ["Reserved", "Settled", "key_cap_day"], "90 came back to yesterday"
    await bench.run(issue_key(account, fresh, bench.at, cap_day=100, rotates=key, overlap_ms=1))
    await bench.writer.take_over()
    replies = await bench.run(
        reserve(account, fresh, 1, bench.at),
        release(account, today),
        reserve(account, fresh, 100, bench.at),
    )
    assert told(replies) == ["key_cap_day", "Released", "Reserved"], "a lineage has one counter"
    assert await differences(database) == []


@pytest.mark.requirement("PRC-3", "RSV-4")
async def test_late_settlement_accrues_the_fee_again(bench, database):
    account, key = await rich(bench)
    res, never = new_id("req"), new_id("req")
    await bench.run(*(reserve(account, key, 10, bench.at, res=r, fee=FEE) for r in (res, never)))
    bench.clock.advance(61.0)
    await bench.run(expire(account, res), expire(account, never))
    assert await fees(bench, account) == [1, 1, -1, -1]
    await bench.writer.take_over()
    late = settle(account, res, 5)
    (settled,) = await bench.run(late)
    assert settled["data"]["flags"] == ["late"]
    await bench.writer.take_over()
    assert await bench.run(late) == [settled], "a repeat accrues nothing"
    assert await fees(bench, account) == [1, 1, -1, -1, 1]
    await bench.run(refund(account, res, 5, whole=True))
    assert await fees(bench, account) == [1, 1, -1, -1, 1, -1]
    assert await differences(database) == []


@pytest.mark.requirement("PRC-3", "RSV-4")
@pytest.mark.parametrize("forgotten", [False, True], ids=["from memory", "from the log"])
async def test_a_call_settled_after_its_whole_refund_bears_the_fee_once_more(
    bench, database, forgotten
):
    """Expiry charged what was used, a refund gave all of it back, and then it is settled."""
    account, key = await rich(bench)
    res = new_id("req")
    charged = {"fee": FEE, "at_deadline": "charge"}
    await bench.run(reserve(account, key, 90, bench.at, res=res, **charged))
    await bench.run(extend(account, res, bench.at, used=20))
    bench.clock.advance(61.0)
    steps = [
        (expire(account, res), [1]),
        (refund(account, res, 20, 1, whole=True), [1, -1]),
        (settle(account, res, 50), [1, -1, 1]),
        (refund(account, res, 30, 2, whole=True), [1, -1, 1, -1]),
    ]
    for step, accrued in steps:
        (reply,) = await bench.run(step)
        assert await fees(bench, account) == accrued, reply
        if forgotten:
            await bench.writer.take_over()
    assert await differences(database) == []


async def fees(bench, account):
    rows = await bench.connection.fetch(
        "select minor from ledger.fee_entries where account_id = $1 order by position", account[5:]
    )
    return [row["minor"] for row in rows]


@pytest.mark.requirement("RSV-7")
async def test_attached_calls_are_known_after_a_restart_and_on_the_receipt(bench, database):
    account, key = await rich(bench, purpose="service")
    res = new_id("req")
    hold = reserve(account, key, 60, bench.at, res=res, attached_cost_ceiling=100)
    one, two = attach(account, res, "one", 60, bench.at), attach(account, res, "two", 40, bench.at)
    first = await bench.run(hold, one, two, detach(account, res, "one", 70, model="swift-1"))
    assert told(first) == ["Reserved", "Attached", "Attached", "Detached"], "in one batch"
    await bench.writer.take_over()
    assert await bench.run(one) == first[1:2], "a repeat gets the first reply"
    more = attach(account, res, "three", 0, bench.at)
    assert told(await bench.run(more, settle(account, res, 60))) == [
        "attached_ceiling", "calls_open",
    ]  # fmt: skip
    replies = await bench.run(detach(account, res, "two", 0), settle(account, res, 60))
    assert told(replies) == ["Detached", "Settled"]
    await bench.writer.take_over()
    late = await bench.run(more, detach(account, res, "three", 1))
    assert told(late) == ["settled", "settled"], "Conflict names where it was closed"
    assert await differences(database) == []
    query = "select calls from ledger.requests where reservation_id = $1"
    async with connection_of(database, "reader") as reader:
        calls = orjson.loads(await reader.fetchval(query, res[4:]))
    assert [(c["call_id"], c["cost_bound"], c["cost"], c["above_bound"]) for c in calls] == [
        ("one", "60", "70", True), ("two", "40", "0", False),
    ]  # fmt: skip


@pytest.mark.requirement("RCH-3")
async def test_an_attempt_that_ended_is_known_as_ended_and_another_as_unknown(bench):
    account, _ = await rich(bench)
    attempt = new_id("rchg")
    policy = {"enabled": True, "threshold": 10**9, "basis": "total", "amount": 10**9}
    price = {"currency": "USD", "minor": 100}
    data = {"attempt_id": attempt, "credits": 10**9, "price": price, "trigger": "1-0-1"}
    start = command(c.StartRecharge, account, data, caller_id=attempt, deadline=bench.at)
    paid = grant(account, 10**9, source="recharge", attempt_id=attempt, payment="pi_1")
    replies = await bench.run(
        command(c.ConfigureRecharge, account, policy), start, paid, failed(account, attempt)
    )
    assert told(replies) == ["Configured", "Started", "Granted", "already_closed"], "in one batch"
    assert told(await bench.run(failed(account, attempt))) == ["already_closed"], "from memory"
    await bench.writer.take_over()
    replies = await bench.run(failed(account, attempt), failed(account, new_id("rchg")))
    assert told(replies) == ["already_closed", "unknown_attempt"], "from the log"


def failed(account, attempt):
    data = {"attempt_id": attempt, "class": "soft", "code": "x"}
    return command(c.RecordRechargeFailure, account, data, caller_id=f"failed:{attempt}")


async def differences(database):
    await project(database)
    async with connection_of(database, "auditor") as auditor:
        return (await verify(auditor, lambda _line: None)).differences
