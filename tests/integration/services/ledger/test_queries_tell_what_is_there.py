"""Every query on real tables; answers have exactly the form that libs/events/queries.py names."""

import asyncio
import time

import asyncpg
import orjson
import pytest

from libs.events import queries as q
from libs.events.ids import new_id
from libs.events.times import from_text
from libs.runtime.clock import ManualClock, SystemClock
from services.ledger import rows as shaping
from services.ledger.queries import Queries
from services.ledger.reader import answer
from tests.support.log_builder import CATALOGUE, START, LogBuilder, account_in
from tests.support.projecting import connection_of, project
from tests.support.waiting import until

PATIENT_S = 20.0
OF_AN_ACCOUNT = [
    "balance", "entries", "recharge", "keys", "request", "requests", "grants", "usage", "fees",
    "limits",
]  # fmt: skip
MORE = {
    "request": {"res": new_id("req")},
    "usage": {"from": "2026-11-01", "to": "2026-11-30", "group": ["day"]},
}
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}


@pytest.fixture(scope="module")
async def story(database):
    builder = LogBuilder(partition=1)
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 10_000_000_000, payment="pi_1")
    builder.res = builder.reserve(name, key, 4000, tags={"team": "blue"}, fee=FEE)
    builder.settle(builder.res, 1500, margin="-5", cost_pico="12345")
    builder.revoked = builder.key(name)
    builder.revoke(builder.revoked)
    builder.open = [builder.reserve(name, key, amount) for amount in (10, 20, 30)]
    builder.freeze(name, "dispute:dp_1")
    builder.name, builder.key_id = name, key
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    await project(database, 1)
    return builder


@pytest.fixture(scope="module")
async def pool(database):
    async with asyncpg.create_pool(database.dsn("reader"), min_size=1, max_size=4) as made:
        yield made


@pytest.fixture
def nudged():
    return []


@pytest.fixture
def ask(pool, nudged):
    async def ask(name, data, partition=1, raw=None, wait_s=PATIENT_S):
        queries = Queries(pool, SystemClock(), partitions=3, wait_s=wait_s, nudge=nudged.append)
        raw = orjson.dumps(data) if raw is None else raw
        told = orjson.loads(await answer(queries, f"ledger.queries.{partition}.{name}", raw))
        if told["ok"]:
            q.Answer.model_validate(told)
            assert q.QUERIES[name][1].model_validate_json(orjson.dumps(told["data"]))
        else:
            q.Refusal.model_validate(told)
        return told

    return ask


async def test_installation_tells_the_partitions_the_end_and_the_time(ask, story):
    told = await ask("installation", {})
    assert told["data"]["partitions"] == 3
    assert told["data"]["incarnation"] == 1
    assert told["data"]["last_position"] == told["position"] == story.position
    empty = await ask("installation", {}, partition=2, raw=b"")
    assert empty["data"]["last_position"] == 0


async def test_the_ledgers_time_is_never_before_its_last_event(pool, story):
    queries = Queries(
        pool, ManualClock(from_text("2020-01-01T00:00:00.000000Z")), partitions=3, wait_s=0,
        nudge=lambda _p: None,
    )  # fmt: skip
    told = orjson.loads(await answer(queries, "ledger.queries.1.installation", b"{}"))
    assert from_text(told["data"]["ledger_now"]) == story.at > START


@pytest.mark.requirement("ACC-2")
async def test_a_key_is_found_by_its_hash_alone(ask, story):
    told = await ask("key_by_hash", {"hash": story.key_id[4:] * 2})
    assert told["data"] == {
        "key_id": story.key_id, "account_id": story.name, "purpose": "inference",
        "allowed": ["swift-1"], "unit": "USD", "plan": "payg", "key_status": "active",
        "account_status": "frozen", "expires_at": None,
    }  # fmt: skip
    assert told["position"] == story.position
    assert told["as_of_position"] is None
    revoked = await ask("key_by_hash", {"hash": story.revoked[4:] * 2})
    assert revoked["data"]["key_status"] == "revoked"


async def test_an_unknown_key_is_refused_by_name(ask, story):
    assert (await ask("key_by_hash", {"hash": "0" * 64}))["code"] == "unknown_key"
    assert (await ask("key_by_hash", {"hash": story.key_id[4:] * 2}, 0))["code"] == "unknown_key"


async def test_the_balance_is_that_of_the_last_event(ask, story):
    told = await ask("balance", {"account_id": story.name})
    assert told["data"] == {
        "unit": "USD", "plan": "payg", "available": "9999998440", "reserved": "60",
        "total": "9999998500", "status": "frozen", "armed": None, "freezes": ["dispute:dp_1"],
    }  # fmt: skip
    assert (told["position"], told["as_of_position"]) == (story.position, None)


async def test_a_balance_asked_for_a_later_position_waits_for_it(ask, story, database):
    later = LogBuilder(partition=1, position=story.position)

    async def write():
        later.grant(later.account(), 1)
        async with connection_of(database, "ledger") as ledger:
            await later.write(ledger)

    question = {"account_id": story.name, "min_position": story.position + 2}
    told, _ = await asyncio.gather(ask("balance", question), write())
    assert told["position"] == story.position + 2
    await project(database, 1)
    story.position = later.position


async def test_a_position_that_does_not_come_is_not_waited_for_longer(ask, story):
    before = time.monotonic()
    told = await ask("balance", {"account_id": story.name, "min_position": 10**9}, wait_s=0.2)
    assert 0.2 <= time.monotonic() - before < 15
    assert told["position"] < 10**9


async def test_the_statement_comes_in_pages_without_gaps_or_repeats(ask, story):
    whole = (await ask("entries", {"account_id": story.name}))["data"]
    assert whole["next"] is None
    pages, after = [], None
    while True:
        told = await ask("entries", {"account_id": story.name, "after": after, "limit": 2})
        assert len(told["data"]["entries"]) <= 2
        pages += told["data"]["entries"]
        after = told["data"]["next"]
        if after is None:
            break
    assert pages == whole["entries"]
    assert [line["type"] for line in pages] == [
        "top_up", "reservation", "release", "charge", "reservation", "reservation", "reservation",
    ]  # fmt: skip
    assert sum(int(line["amount"]) for line in pages) == 9999998440
    charge = pages[3]
    assert (charge["res"], charge["key_id"]) == (story.res, story.key_id)
    assert (charge["operation"], charge["unit"], charge["amount"]) == ("swift-1", "USD", "-1500")


async def test_a_receipt_tells_every_column(ask, story):
    told = await ask("request", {"account_id": story.name, "res": story.res})
    data = told["data"]
    assert (data["state"], data["charge"], data["released"]) == ("settled", "1500", "2500")
    assert (data["cost_pico"], data["margin"], data["refunded"]) == ("12345", "-5", "0")
    assert data["usage"] == {"input_tokens": 10, "output_tokens": 5}
    assert data["tags"] == {"team": "blue"}
    assert data["catalogue"] == CATALOGUE
    assert data["available_after"] == "9999998500"
    still = await ask("request", {"account_id": story.name, "res": story.open[0]})
    assert (still["data"]["state"], still["data"]["closed_at"]) == ("open", None)


async def test_another_accounts_receipt_does_not_exist(ask, story, database):
    builder = LogBuilder(partition=1, position=story.position)
    other = builder.account()
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    await project(database, 1)
    story.position = builder.position
    told = await ask("request", {"account_id": other, "res": story.res})
    assert told["code"] == "unknown_request"


async def test_an_answer_waits_for_the_projection_it_needs(ask, story, database, nudged):
    """Read your writes: an event is committed, the projection is late, the answer has it."""
    builder = LogBuilder(partition=1, position=story.position)
    name = builder.account()
    builder.grant(name, 5)
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    story.position = builder.position

    async def later():
        await until(asleep(lambda: nudged))
        await project(database, 1)

    told, _ = await asyncio.gather(ask("entries", {"account_id": name}), later())
    assert [line["amount"] for line in told["data"]["entries"]] == ["5"]
    assert told["as_of_position"] >= builder.position
    assert set(nudged) == {1}


def asleep(condition):
    async def holds():
        return condition()

    return holds


async def test_a_projection_that_stays_late_is_told(ask, story, database):
    builder = LogBuilder(partition=1, position=story.position)
    name = builder.account()
    builder.grant(name, 5)
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    told = await ask("entries", {"account_id": name}, wait_s=0.05)
    assert told["data"]["entries"] == []
    assert told["as_of_position"] == story.position < told["position"] == builder.position
    story.position = builder.position
    await project(database, 1)


async def test_events_are_the_bytes_that_were_hashed(ask, story, database):
    told = await ask("events", {"from": 2, "limit": 3})
    assert [event["position"] for event in told["data"]["events"]] == [2, 3, 4]
    async with connection_of(database, "auditor") as auditor:
        body = await auditor.fetchval(
            "select body from ledger.events where partition = 1 and position = 3"
        )
    assert told["data"]["events"][1]["body"].encode() == body
    assert told["data"]["events"][1]["type"] == "CreditsGranted"
    assert (await ask("events", {"from": 10**9}))["data"]["events"] == []


async def test_open_reservations_come_in_pages(ask, story):
    found, after = [], None
    while True:
        told = await ask("reservations", {"state": "open", "after": after, "limit": 2})
        found += told["data"]["reservations"]
        after = told["data"]["next"]
        if after is None:
            break
    assert sorted(row["reservation_id"] for row in found) == sorted(story.open)
    assert {row["amount"] for row in found} == {"10", "20", "30"}


async def test_keys_are_told_without_their_hashes(ask, story):
    told = await ask("keys", {"account_id": story.name})
    assert [key["key_id"] for key in told["data"]["keys"]] == [story.key_id, story.revoked]
    assert "hash" not in str(told)


async def test_recharge_tells_policy_and_open_attempt_with_its_price(ask, story, database):
    builder = LogBuilder(partition=1, position=story.position)
    name, attempt = builder.account(), new_id("rchg")
    builder.grant(name, 5)
    builder.event(
        "RechargeStarted",
        name,
        {
            "attempt_id": attempt, "credits": "1000", "price": {"currency": "USD", "minor": 500},
            "trigger": "1-1-9", "windows": {"day": "2026-11-20", "month": "2026-11"},
        },
        command_id=attempt,
    )  # fmt: skip
    started_at = orjson.loads(builder.rows[-1][5])["occurred_at"]
    policy = {
        "enabled": True, "threshold": 50, "basis": "total", "amount": 1000, "pack": "usd-10",
        "cap_charge": None, "cap_day": 5000, "cap_month": None, "failures_in_row": 1,
        "next_at": None, "suspended": False, "day": "2026-11-20", "day_sum": 1000,
        "month": "2026-11", "month_sum": 1000,
        "attempt": {
            "attempt_id": attempt, "credits": 1000, "started_at": started_at,
            "day": "2026-11-20", "month": "2026-11",
        },
    }  # fmt: skip
    state = {"freezes": [], "grants": [], "next_grant_no": 2, "catalogue": None, "recharge": policy}
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        await ledger.execute(
            "update ledger.accounts set state = $1, armed = false where account_id = $2",
            orjson.dumps(state), name[5:],
        )  # fmt: skip
    story.position = builder.position
    await project(database, 1)
    told = await ask("recharge", {"account_id": name})
    assert told["data"] == {
        "policy": {
            "enabled": True, "threshold": "50", "basis": "total", "amount": "1000",
            "pack": "usd-10", "caps": {"charge": None, "day": "5000", "month": None},
        },
        "open_attempt": {
            "attempt_id": attempt, "credits": "1000", "price": {"currency": "USD", "minor": 500},
            "started_at": started_at,
        },
        "failures_in_row": 1, "next_at": None, "suspended": False, "armed": False,
    }  # fmt: skip
    without = await ask("recharge", {"account_id": story.name})
    assert (without["data"]["policy"], without["data"]["open_attempt"]) == (None, None)


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
async def test_an_unknown_account_is_refused_by_name(ask, story, name):
    data = {"account_id": account_in(1)} | MORE.get(name, {})
    assert (await ask(name, data))["code"] == "unknown_account"


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
@pytest.mark.parametrize("partition", [0, 2, 7, 99999])
async def test_a_partition_speaks_only_of_its_own_accounts(ask, story, name, partition):
    data = {"account_id": story.name} | MORE.get(name, {})
    assert (await ask(name, data, partition))["code"] == "wrong_partition"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("balance", b""),
        ("balance", b"{}"),
        ("balance", b"not json"),
        ("balance", b"\xff\xfe"),
        ("balance", b'{"account_id": "acct_1"}'),
        ("balance", b'{"account_id": 7}'),
        ("entries", b'{"account_id": "acct_' + b"0" * 32 + b'", "limit": 501}'),
        ("entries", b'{"account_id": "acct_' + b"0" * 32 + b'", "after": "1"}'),
        ("entries", b'{"account_id": "acct_' + b"0" * 32 + b'", "more": 1}'),
        ("events", b'{"from": 0}'),
        ("events", b'{"from": 1.5}'),
        ("installation", b"[]"),
        ("key_by_hash", b'{"hash": "00"}'),
    ],
)
async def test_a_malformed_question_is_refused_by_name(ask, story, name, raw):
    assert (await ask(name, None, raw=raw))["code"] == "malformed"


@pytest.mark.parametrize("name", ["drop", "balance.more"])
async def test_a_question_nobody_answers_is_refused_by_name(ask, story, name):
    assert (await ask(name, {}))["code"] == "unknown_query"


async def test_a_page_that_would_not_fit_one_message_ends_earlier(ask, story, monkeypatch):
    whole = (await ask("entries", {"account_id": story.name}))["data"]["entries"]
    monkeypatch.setattr(shaping, "PAGE_BYTES", 700)
    found, after = [], None
    while True:
        told = await ask("entries", {"account_id": story.name, "after": after})
        assert 1 <= len(told["data"]["entries"]) <= 2
        found += told["data"]["entries"]
        after = told["data"]["next"]
        if after is None:
            break
    assert found == whole
    assert len((await ask("events", {"from": 1}))["data"]["events"]) == 1


async def test_an_answer_without_postgres_says_so(database, story):
    async with asyncpg.create_pool(database.dsn("reader"), min_size=1, max_size=1) as pool:
        await pool.close()
        queries = Queries(pool, SystemClock(), partitions=3, wait_s=0, nudge=lambda _p: None)
        raw = orjson.dumps({"account_id": story.name})
        told = orjson.loads(await answer(queries, "ledger.queries.1.balance", raw))
    assert told["code"] == "unavailable"
