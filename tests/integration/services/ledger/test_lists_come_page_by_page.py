"""The lists of the read side on real tables: every page, every filter, one account's rows alone."""

import asyncpg
import orjson
import pytest

from libs.events import queries as q
from libs.events.ids import id_of, parse_id
from libs.events.times import to_text
from libs.runtime.clock import ManualClock
from services.ledger.lists import external_id_note, key_name_note
from services.ledger.queries import Queries
from services.ledger.reader import answer
from tests.support.log_builder import START, LogBuilder
from tests.support.projecting import connection_of, project

CLOCK = ManualClock(START)
"""What was spent is of a day and a month, which do not turn while this is asked."""
FEE = {"currency": "USD", "minor": 3, "schedule": "fidelity-1"}


@pytest.fixture(scope="module")
async def story(database):
    builder = LogBuilder(partition=1)
    name = builder.account()
    key, other = builder.key(name), builder.key(name)
    gone = builder.key(name)
    builder.revoke(gone)
    builder.grant(name, 10_000, payment="pi_1", paid={"currency": "USD", "minor": 1000})
    builder.grant(name, 500, source="initial")
    chats = [builder.reserve(name, key, 400, tags={"team": "blue"}) for _ in range(3)]
    for res in chats:
        builder.settle(res, 150, cost_pico="100000000", margin="5")
    scored = builder.reserve(name, other, 60, operation="score-image", surface="operation", fee=FEE)
    builder.settle(scored, 60)
    failed = builder.reserve(name, other, 60, operation="score-image", surface="operation", fee=FEE)
    builder.release(failed)
    builder.refund(name, chats[0], 150)
    held = [builder.reserve(name, key, 10) for _ in range(3)]
    stranger = builder.account()
    strange_key = builder.key(stranger)
    builder.grant(stranger, 100)
    builder.settle(builder.reserve(stranger, strange_key, 20, fee=FEE), 7)
    builder.reserve(stranger, strange_key, 5)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
        note = "insert into ledger.notes values ($1, $2, 'x', $3, now())"
        account = parse_id(name)
        await ledger.execute(note, key_name_note(account, parse_id(key)), account, "laptop")
        await ledger.execute(note, external_id_note(account), account, "customer-7")
        state = {
            "freezes": [], "grants": [], "next_grant_no": 3, "recharge": None, "catalogue": None,
            "limits": [1000, None, [50, 90]],
            "counters": {"": [700, "2000-01-01", 700, to_text(CLOCK.now())[:7], 650]},
        }  # fmt: skip
        await ledger.execute(
            "update ledger.accounts set state = $1 where account_id = $2",
            orjson.dumps(state), account,
        )  # fmt: skip
    await project(database, 1)
    builder.name, builder.stranger = name, stranger
    builder.ids = {"key": key, "other": other, "gone": gone}
    builder.chats, builder.scored, builder.failed, builder.held = chats, scored, failed, held
    return builder


@pytest.fixture(scope="module")
async def ask(database, story):
    async with asyncpg.create_pool(database.dsn("reader"), min_size=1, max_size=2) as pool:
        queries = Queries(pool, CLOCK, partitions=3, wait_s=0, nudge=lambda _p: None)

        async def ask(name, **data):
            raw = orjson.dumps(data)
            told = orjson.loads(await answer(queries, f"ledger.queries.1.{name}", raw))
            assert told["ok"], told
            assert q.QUERIES[name][1].model_validate_json(orjson.dumps(told["data"]))
            return told["data"]

        yield ask


async def paged(ask, name, rows, **data):
    """All rows of a list, two at a time."""
    found, after = [], None
    while True:
        page = await ask(name, **data, limit=2, **({"after": after} if after else {}))
        assert len(page[rows]) <= 2
        found += page[rows]
        after = page["next"]
        if after is None:
            return found


ORDERED = {
    "grants": ("grants", {}),
    "requests": ("requests", {}),
    "fees": ("fees", {}),
    "keys": ("keys", {}),
    "reservations": ("reservations", {}),
    "usage": ("rows", {"from": "2026-11-01", "to": "2026-11-30", "group": ["key", "operation"]}),
}


@pytest.mark.parametrize("name", sorted(ORDERED))
async def test_pages_are_the_whole_list_without_gaps_or_repeats(ask, story, name):
    rows, more = ORDERED[name]
    for account in (story.name, story.stranger):
        whole = await ask(name, account_id=account, **more)
        assert whole["next"] is None
        assert whole[rows]
        assert await paged(ask, name, rows, account_id=account, **more) == whole[rows]


async def test_a_list_never_holds_a_row_of_another_account(ask, story):
    theirs = {story.stranger}
    for name, (_, more) in ORDERED.items():
        mine = orjson.dumps(await ask(name, account_id=story.name, **more)).decode()
        assert not any(text in mine for text in theirs)
        for text in (*story.ids.values(), *story.held, *story.chats):
            told = orjson.dumps(await ask(name, account_id=story.stranger, **more)).decode()
            assert text not in told


@pytest.mark.requirement("CRD-3")
async def test_grants_tell_what_was_paid_and_what_became_of_it(ask, story):
    first, second = (await ask("grants", account_id=story.name))["grants"]
    assert (first["paid"], first["payment"]) == ({"currency": "USD", "minor": 1000}, "pi_1")
    assert (first["granted"], first["charged"], first["refunded"]) == ("10000", "510", "150")
    assert (first["reserved"], first["available"]) == ("30", "9610")
    assert (second["source"], second["available"], second["paid"]) == ("initial", "500", None)


async def test_requests_are_filtered_by_all_that_is_asked(ask, story):
    async def found(**filters):
        told = await ask("requests", account_id=story.name, **filters)
        return [row["reservation_id"] for row in told["requests"]]

    everything = await found()
    assert everything == [*story.held[::-1], story.failed, story.scored, *story.chats[::-1]]
    assert await found(state="open") == story.held[::-1]
    assert await found(model="swift-1", state="settled") == story.chats[::-1]
    assert await found(operation="score-image") == [story.failed, story.scored]
    assert await found(model="score-image") == []
    assert await found(key_id=story.ids["other"]) == [story.failed, story.scored]
    assert await found(tags={"team": "blue"}) == story.chats[::-1]
    assert await found(tags={"team": "red"}) == []
    opened = (await ask("request", account_id=story.name, res=story.scored))["opened_at"]
    assert await found(**{"from": opened}) == everything[:5]
    assert await found(to=opened) == everything[5:]


@pytest.mark.requirement("ACC-8")
async def test_use_is_summed_up_by_what_it_is_grouped_by(ask, story):
    async def rows(*group, account=None, start="2026-11-01", **more):
        told = await ask(
            "usage",
            account_id=account or story.name,
            **{"from": start, "to": "2026-11-30", "group": group} | more,
        )
        return told["rows"]

    (day,) = await rows("day")
    assert day == {
        "day": "2026-11-20", "model": None, "key_id": None, "operation": None, "requests": 5,
        "released": 1, "charged": "510", "margin": "15", "cost_pico": "300000000", "refunded": "150",
        "usage": {"input_tokens": 40, "output_tokens": 20},
    }  # fmt: skip
    by_model = {row["model"]: row["charged"] for row in await rows("model")}
    assert by_model == {"swift-1": "450", None: "60"}
    by_key = {row["key_id"]: (row["requests"], row["released"]) for row in await rows("key")}
    assert by_key == {story.ids["key"]: (3, 0), story.ids["other"]: (2, 1)}
    assert [row["operation"] for row in await rows("operation")] == ["score-image", "swift-1"]
    assert len(await rows("day", "model", "key", "operation")) == 2
    assert await rows("day", start="2026-11-21") == []
    assert [row["charged"] for row in await rows("day", account=story.stranger)] == ["7"]
    # Of tagged requests alone; here all that has this tag is all that there is of its model.
    by_model = {row["model"]: row for row in await rows("model")}
    assert await rows("model", tags={"team": "blue"}) == [by_model["swift-1"]]
    assert await rows("day", tags={"team": "red"}) == []
    assert await rows("day", tags={"team": "blue"}, start="2026-11-21") == []
    assert await rows("day", tags={"team": "blue"}, account=story.stranger) == []


@pytest.mark.requirement("PRC-3")
async def test_fees_carry_their_sum_so_far(ask, story):
    told = await ask("fees", account_id=story.name)
    assert [(row["minor"], row["total"]) for row in told["fees"]] == [(3, 3), (3, 6), (-3, 3)]
    assert [row["res"] for row in told["fees"]] == [story.scored, story.failed, story.failed]
    assert {row["operation"] for row in told["fees"]} == {"score-image"}
    assert told["totals"] == [{"currency": "USD", "schedule": "fidelity-1", "minor": 3}]


@pytest.mark.requirement("ACC-4")
async def test_keys_tell_their_names_and_active_ones_come_first(ask, story):
    keys = (await ask("keys", account_id=story.name))["keys"]
    assert [key["key_id"] for key in keys] == [
        story.ids["other"], story.ids["key"], story.ids["gone"],
    ]  # fmt: skip
    assert [key["name"] for key in keys] == [None, "laptop", None]
    assert keys[0]["created_at"].startswith("2026-11-20T12:")
    (one,) = (await ask("keys", account_id=story.name, key_id=story.ids["gone"]))["keys"]
    assert one == keys[2]


async def test_accounts_are_listed_with_the_names_they_came_with(ask, story):
    accounts = await paged(ask, "accounts", "accounts")
    assert [row["account_id"] for row in accounts] == sorted([story.name, story.stranger])
    by_id = {row["account_id"]: row["external_id"] for row in accounts}
    assert by_id == {story.name: "customer-7", story.stranger: None}


@pytest.mark.requirement("ACC-8")
async def test_limits_tell_what_is_spent_of_them_now(ask, story):
    """The day's sum is of a day that is over, the month's of this one."""
    assert await ask("limits", account_id=story.name) == {
        "day": "1000", "month": None, "alerts": [50, 90], "spent_day": "0", "spent_month": "650",
    }  # fmt: skip
    assert (await ask("limits", account_id=story.stranger))["spent_day"] is None


async def test_open_reservations_of_all_accounts_say_whose_they_are(ask, story):
    rows = (await ask("reservations"))["reservations"]
    assert [row["account_id"] for row in rows].count(story.name) == 3
    assert len(rows) == 4
    assert {row["operation"] for row in rows} == {"swift-1"}
    assert id_of("acct", parse_id(story.name)) == story.name
