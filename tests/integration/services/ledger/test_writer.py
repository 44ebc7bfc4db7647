import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from services.ledger.writer import DOUBTFUL, NotLeading
from tests.support.database import Database
from tests.support.deciding import command, grant, issue_key, open_account, release, reserve, settle
from tests.support.writing import Bench, open_bench


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


async def rich(bench: Bench, amount: int = 1000) -> tuple[str, str]:
    account, key = new_id("acct"), new_id("key")
    replies = await bench.run(
        open_account(account), issue_key(account, key, bench.at), grant(account, amount)
    )
    assert [reply["reply"] for reply in replies] == ["Opened", "Issued", "Granted"]
    return account, key


async def row(bench: Bench, account: str) -> tuple[int, int]:
    found = await bench.connection.fetchrow(
        "select available, reserved from ledger.accounts where account_id = $1", account[5:]
    )
    return found["available"], found["reserved"]


async def is_open(bench: Bench, res: str) -> bool:
    query = "select exists (select from ledger.reservations where reservation_id = $1)"
    return await bench.connection.fetchval(query, res[4:])


async def log_of(bench: Bench, account: str) -> list[bytes]:
    rows = await bench.connection.fetch(
        "select body from ledger.events where account_id = $1 order by position", account[5:]
    )
    return [found["body"] for found in rows]


@pytest.mark.requirement("RSV-1")
async def test_a_reply_is_in_the_log_and_in_the_rows(bench):
    account, key = await rich(bench)
    res = new_id("req")
    (reserved,) = await bench.run(reserve(account, key, 600, bench.at, res=res))
    assert (reserved["reply"], reserved["data"]["amount"]) == ("Reserved", "600")
    assert await row(bench, account) == (400, 600)
    (settled,) = await bench.run(settle(account, res, 100))
    assert (settled["data"]["charge"], settled["data"]["released"]) == ("100", "500")
    assert await row(bench, account) == (900, 0)
    assert settled["position"] == bench.writer.position
    assert not await is_open(bench, res)


async def test_a_change_of_standing_reaches_the_row_of_an_account_that_has_one(bench):
    account, key = await rich(bench)
    standing = "select status, plan from ledger.accounts where account_id = $1"
    freeze = {"reason": "manual"}
    await bench.run(reserve(account, key, 1, bench.at), command(c.FreezeAccount, account, freeze))
    assert tuple(await bench.connection.fetchrow(standing, account[5:])) == ("frozen", "payg")
    await bench.run(command(c.UnfreezeAccount, account, freeze))
    assert tuple(await bench.connection.fetchrow(standing, account[5:])) == ("open", "payg")
    await bench.run(command(c.ChangePlan, account, {"plan": "pro", "catalogue": "0" * 64}))
    assert tuple(await bench.connection.fetchrow(standing, account[5:])) == ("open", "pro")


async def test_events_of_one_account_form_a_chain_within_and_across_batches(bench):
    account, key = await rich(bench)
    first, second = new_id("req"), new_id("req")
    await bench.run(
        reserve(account, key, 1, bench.at, res=first),
        reserve(account, key, 2, bench.at, res=second),
    )
    await bench.run(settle(account, first, 1), release(account, second))
    prev = "0" * 64
    for version, raw in enumerate(await log_of(bench, account), start=1):
        body = orjson.loads(raw)
        assert (body["prev"], body["version"]) == (prev, version)
        assert orjson.dumps(body, option=orjson.OPT_SORT_KEYS) == raw
        prev = hashlib.sha256(raw).hexdigest()
    head = await bench.connection.fetchval(
        "select head from ledger.accounts where account_id = $1", account[5:]
    )
    assert head.hex() == prev


async def test_a_hold_opened_and_closed_in_one_batch_leaves_no_row(bench):
    account, key = await rich(bench)
    res = new_id("req")
    replies = await bench.run(reserve(account, key, 10, bench.at, res=res), settle(account, res, 4))
    assert [reply["reply"] for reply in replies] == ["Reserved", "Settled"]
    assert not await is_open(bench, res)
    assert await row(bench, account) == (996, 0)


@pytest.mark.requirement("RSV-3")
async def test_two_requests_of_one_batch_never_spend_the_same_credit(bench):
    account, key = await rich(bench, amount=10)
    replies = await bench.run(*(reserve(account, key, 7, bench.at) for _ in range(50)))
    assert sorted(reply["reply"] for reply in replies) == ["Declined"] * 49 + ["Reserved"]
    assert await row(bench, account) == (3, 7)


@pytest.mark.requirement("RSV-3")
async def test_repeat_after_eviction_and_restart_returns_first_reply(bench, database):
    account, key = await rich(bench)
    res = new_id("req")
    hold, pay = reserve(account, key, 600, bench.at, res=res), settle(account, res, 100)
    (reserved,), (settled,) = await bench.run(hold), await bench.run(pay)
    assert await bench.run(hold, pay) == [reserved, settled], "from memory"
    bench.writer.working.forget()
    assert await bench.run(hold, pay) == [reserved, settled], "after eviction"
    again = await open_bench(database.dsn("ledger"))
    try:
        before = again.writer.position
        assert await again.run(hold, pay, hold) == [reserved, settled, reserved], "after a restart"
        assert again.writer.position == before
    finally:
        await again.close()
    assert await row(bench, account) == (900, 0)


@pytest.mark.requirement("RSV-3")
async def test_a_forgotten_repeat_is_found_although_nothing_was_looked_up_first(bench):
    """What would be accepted fails at the key, what would be refused is asked for (ADR-0004)."""
    account, key = await rich(bench)
    res = new_id("req")
    hold = reserve(account, key, 600, bench.at, res=res)
    (reserved,) = await bench.run(hold)
    for _ in range(DOUBTFUL + 1):
        await bench.run(reserve(account, key, 10_000, bench.at))
    bench.writer.working.commands.clear()
    before = bench.writer.position
    (refused_else,) = await bench.run(hold)  # 600 more are not there: it would be declined
    assert (refused_else, bench.writer.position) == (reserved, before)
    more = grant(account, 600)
    (granted,) = await bench.run(more)
    bench.writer.working.commands.clear()
    before = bench.writer.position
    other = reserve(account, key, 10, bench.at)
    (accepted_else, beside) = await bench.run(more, other)  # no rule and no other key refuses it
    assert (accepted_else, beside["reply"]) == (granted, "Reserved")
    assert bench.writer.position == before + 1
    assert await row(bench, account) == (990, 610)


@pytest.mark.requirement("RSV-3")
async def test_same_id_with_other_contents_is_a_conflict(bench):
    account, key = await rich(bench)
    res = new_id("req")
    (reserved,) = await bench.run(reserve(account, key, 600, bench.at, res=res))
    other = reserve(account, key, 601, bench.at, res=res)
    (in_memory,) = await bench.run(other)
    bench.writer.working.forget()
    bench.writer.working.reservations.update(await bench.writer.store.open_reservations())
    (from_log,) = await bench.run(other)
    for reply in (in_memory, from_log):
        assert reply["reply"] == "Conflict"
        assert reply["data"] == {"code": "fingerprint", "first_position": reserved["position"]}
    assert await row(bench, account) == (400, 600)


@pytest.mark.requirement("RSV-3")
async def test_a_declined_command_writes_nothing_and_is_decided_anew(bench):
    account, key = await rich(bench, amount=1)
    hold = reserve(account, key, 5, bench.at)
    before = bench.writer.position
    (declined,) = await bench.run(hold)
    assert (declined["reply"], declined["data"]["required"]) == ("Declined", "5")
    assert bench.writer.position == before
    replies = await bench.run(grant(account, 4), hold)
    assert [reply["reply"] for reply in replies] == ["Granted", "Reserved"]


@pytest.mark.requirement("RSV-3")
async def test_second_writer_is_fenced(bench, database):
    account, key = await rich(bench)
    zombie = await open_bench(database.dsn("ledger"))
    try:
        await bench.run(reserve(account, key, 300, bench.at))
        with pytest.raises(NotLeading):
            await zombie.run(reserve(account, key, 300, zombie.at))
        assert zombie.replies == {}
    finally:
        await zombie.close()
    assert await row(bench, account) == (700, 300)


async def test_poison_command_does_not_stop_the_partition(bench):
    account, key = await rich(bench)
    thief, hold = new_id("acct"), new_id("req")
    replies = await bench.run(
        reserve(account, key, 1, bench.at, res=hold),
        open_account(thief),
        issue_key(thief, key, bench.at),  # another tenant's key id: the database refuses it
        reserve(account, key, 2, bench.at),
    )
    assert [reply["reply"] for reply in replies] == [
        "Reserved", "Opened", "RejectedByStore", "Reserved",
    ]  # fmt: skip
    assert replies[2]["data"] == {"sqlstate": "23505"}
    assert await row(bench, account) == (997, 3)


async def test_an_amount_that_would_overflow_the_balance_is_declined(bench):
    account, _ = await rich(bench)
    replies = await bench.run(*(grant(account, 2**62) for _ in range(3)))
    assert [reply["reply"] for reply in replies] == ["Granted", "Declined", "Declined"]


async def test_a_lost_connection_leaves_the_outcome_unknown_and_ends_the_writer(database):
    bench = await open_bench(database.dsn("ledger"))
    account, key = await rich(bench)
    pid = await bench.connection.fetchval("select pg_backend_pid()")
    database.sql(f"select pg_terminate_backend({pid})")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await bench.run(reserve(account, key, 1, bench.at))
    assert type(caught.value).__name__ in {"NotLeading", "InterfaceError", "InternalClientError"}
    assert bench.replies == {}


@pytest.mark.requirement("RSV-4")
async def test_a_late_settlement_is_decided_from_the_log(bench):
    account, key = await rich(bench)
    res = new_id("req")
    await bench.run(reserve(account, key, 600, bench.at, res=res))
    bench.clock.advance(61)
    expire = command(c.ExpireReservation, account, {"res": res}, caller_id=f"expire:{res}")
    await bench.run(expire)
    assert await row(bench, account) == (1000, 0)
    bench.writer.working.forget()
    (late,) = await bench.run(settle(account, res, 100))
    assert (late["reply"], late["data"]["flags"]) == ("Settled", ["late"])
    assert await row(bench, account) == (900, 0)
    bench.writer.working.forget()
    (other,) = await bench.run(release(account, res))
    assert (other["reply"], other["data"]["code"]) == ("Conflict", "settled")


async def test_time_in_the_log_never_runs_backwards(bench, database):
    bench.clock.advance(3600)
    account, _ = await rich(bench)
    behind = await open_bench(database.dsn("ledger"), behind=True)
    try:
        await behind.run(grant(account, 1))
    finally:
        await behind.close()
    times = [orjson.loads(raw)["occurred_at"] for raw in await log_of(bench, account)]
    assert times == sorted(times)


@pytest.mark.requirement("RSV-5")
async def test_a_hold_extended_in_the_batch_that_opened_it_survives_a_restart(bench, database):
    account, key = await rich(bench)
    res = new_id("req")
    more = {"res": res, "total": 500, "hold_ms": 60_000, "used_so_far": 90}
    hold = reserve(account, key, 100, bench.at, res=res)
    extend = command(
        c.Extend,
        account,
        more,
        caller_id=f"extend:{res}:1",
        deadline=bench.at + timedelta(seconds=5),
    )
    replies = await bench.run(hold, extend)
    assert [reply["reply"] for reply in replies] == ["Reserved", "Extended"]
    kept = bench.writer.working.reservations[res]
    again = await open_bench(database.dsn("ledger"))
    try:
        assert again.writer.working.reservations[res] == kept
        (settled,) = await again.run(settle(account, res, 400))
        assert settled["data"]["flags"] == []
    finally:
        await again.close()
    assert await row(bench, account) == (600, 0)


async def test_free_text_stands_beside_the_log_only(bench):
    account, _ = await rich(bench)
    given = {"source": "admin", "amount": 1, "priority": 0, "note": "for Jane Doe"}
    await bench.run(command(c.GrantCredits, account, given))
    raw = (await log_of(bench, account))[-1]
    assert b"Jane" not in raw
    note_id = orjson.loads(raw)["data"]["note_id"]
    text = await bench.connection.fetchval(
        "select text from ledger.notes where note_id = $1", note_id[5:]
    )
    assert text == "for Jane Doe"


async def test_rotating_a_key_lets_the_old_one_end_with_its_overlap(bench):
    account, key = await rich(bench)
    fresh = new_id("key")
    await bench.run(issue_key(account, fresh, bench.at, rotates=key, overlap_ms=1000))
    bench.clock.advance(1.5)
    bench.writer.working.forget()
    replies = await bench.run(
        reserve(account, key, 1, bench.at + timedelta(seconds=5)),
        reserve(account, fresh, 1, bench.at + timedelta(seconds=5)),
    )
    assert [reply["reply"] for reply in replies] == ["Declined", "Reserved"]


@pytest.mark.requirement("RSV-5")
async def test_an_extended_hold_survives_a_restart_and_is_settled_whole(bench, database):
    account, key = await rich(bench)
    res = new_id("req")
    await bench.run(reserve(account, key, 100, bench.at, res=res))
    extend = {"res": res, "total": 400, "hold_ms": 120_000, "used_so_far": 80}
    deadline = bench.at + timedelta(seconds=5)
    longer = command(c.Extend, account, extend, caller_id=f"extend:{res}:1", deadline=deadline)
    (extended,) = await bench.run(longer)
    assert (extended["reply"], extended["data"]["total"]) == ("Extended", "400")
    again = await open_bench(database.dsn("ledger"))
    try:
        assert await again.run(longer) == [extended]
        (settled,) = await again.run(settle(account, res, 350))
        assert (settled["data"]["charge"], settled["data"]["released"]) == ("350", "50")
        assert await row(again, account) == (650, 0)
    finally:
        await again.close()
    assert not await is_open(bench, res)


@pytest.mark.requirement("PRC-3")
async def test_fees_of_kept_invocations_are_the_sum_of_the_fee_ledger(bench):
    account, key = await rich(bench)
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    holds = [new_id("req") for _ in range(3)]
    await bench.run(*(reserve(account, key, 10, bench.at, res=res, fee=fee) for res in holds))
    await bench.run(settle(account, holds[0], 5), release(account, holds[1]))
    fees = "select coalesce(sum(minor), 0) from ledger.fee_entries where account_id = $1"
    assert await bench.connection.fetchval(fees, account[5:]) == 2


@pytest.mark.requirement("ACC-4")
async def test_caps_are_remembered_over_a_restart(bench, database):
    account, key = await rich(bench)
    capped = new_id("key")
    await bench.run(issue_key(account, capped, bench.at, cap_total=100))
    await bench.run(reserve(account, capped, 100, bench.at))
    again = await open_bench(database.dsn("ledger"))
    try:
        (refused,) = await again.run(reserve(account, capped, 1, again.at))
        assert refused["data"]["code"] == "key_cap_total"
        (other,) = await again.run(reserve(account, key, 1, again.at))
        assert other["reply"] == "Reserved"
    finally:
        await again.close()


@pytest.mark.requirement("RSV-3")
async def test_a_hold_of_another_account_is_never_replaced(bench):
    (account, key), (thief, other) = await rich(bench), await rich(bench)
    res = new_id("req")
    replies = await bench.run(
        reserve(account, key, 10, bench.at, res=res), reserve(thief, other, 10, bench.at, res=res)
    )
    assert [reply["reply"] for reply in replies] == ["Reserved", "Declined"]
    (settled,) = await bench.run(settle(account, res, 4))
    assert settled["reply"] == "Settled"
    assert await row(bench, thief) == (1000, 0)
