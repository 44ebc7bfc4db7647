"""The fold computes balances, grants and holds by itself and names every claim that differs."""

from datetime import timedelta

import orjson
import pytest

from services.ledger.replay import Fold
from tests.support.deciding import (
    Rules,
    clawback,
    issue_key,
    open_account,
    refund,
    reserve,
    reverse,
    settle,
)
from tests.support.deciding import (
    grant as granted,
)
from tests.support.log_builder import LogBuilder
from tests.support.stories import live

pytestmark = pytest.mark.requirement("AUD-6")


def folded(bodies):
    """A fold of these bodies and what it found, as (position, column, claimed, computed)."""
    found, at = [], [0]
    fold = Fold(lambda column, claimed, computed: found.append((at[0], column, claimed, computed)))
    for body in bodies:
        at[0] = body["position"]
        fold.apply(fold.account(body["account_id"], body["partition"]), body)
    return fold, found


def bodies_of(builder):
    return [orjson.loads(row[5]) for row in builder.rows]


@pytest.mark.parametrize("seed", range(20))
def test_a_fold_of_a_true_log_finds_nothing_and_ends_where_the_accounts_are(seed):
    builder = live(LogBuilder(), seed, steps=150)
    fold, found = folded(bodies_of(builder))
    assert found == []
    for name, story in builder.stories.items():
        account = fold.accounts[name]
        assert (account.available, account.reserved) == (story.available, story.reserved)
        for grant in story.grants:
            mine = account.grants[grant.no]
            assert (mine.available, mine.reserved) == (grant.available, grant.reserved)
            assert mine.left_over == 0, "granted = available + reserved + spent"
    assert {res: hold.amount for res, hold in fold.holds.items()} == {
        res: int(hold["amount"]) for res, hold in builder.holds.items()
    }
    units = {unit for unit, _ in fold.books}
    assert all(sum(n for (u, _), n in fold.books.items() if u == unit) == 0 for unit in units)


@pytest.fixture
def story():
    """Positions: 1 opened, 2 key, 3 grant 10000, 4 hold 4000, 5 charge 1500, 6 hold 700,
    7 extended by 50, 8 released, 9 hold 300, 10 expired, 11 grant 2 of 500, 12 expiry of grant 2,
    13 clawback 100, 14 reversed, 15 refund 200, 16 hold 9000, 17 charge above it."""
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 10_000)
    first = builder.reserve(name, key, 4000)
    builder.settle(first, 1500)
    second = builder.reserve(name, key, 700)
    builder.extend(second, 50)
    builder.release(second)
    builder.expire(builder.reserve(name, key, 300), charge=20)
    builder.grant(name, 500)
    builder.expire_grant(name, 2)
    builder.claw_back(name, 1, 100, "dispute:dp_1")
    builder.reverse(name, 1, 100, "dispute:dp_1")
    builder.refund(name, first, 200)
    builder.settle(builder.reserve(name, key, 8000), 8100)
    assert builder.position == 17
    return builder


def test_the_story_is_true(story):
    assert folded(bodies_of(story))[1] == []


@pytest.mark.parametrize(
    ("position", "change", "column"),
    [
        (3, {"available": "10001"}, "data.available"),
        (4, {"reserved": "4001"}, "data.reserved"),
        (4, {"from": [[1, "3999"]]}, "data.from"),
        (4, {"from": [[2, "4000"]]}, "grant 2"),
        (5, {"reserved_was": "4001"}, "data (the hold)"),
        (5, {"charge": "1501"}, "data.taken"),
        (5, {"charge": "1501"}, "postings"),
        (5, {"taken": [[1, "1499"]]}, "data.taken"),
        (5, {"returned": [[1, "2499"]]}, "data.returned of grant 1"),
        (5, {"returned": [[1, "2501"]]}, "data.extra"),
        (5, {"res": "req_" + "0" * 32}, "data.res"),
        (7, {"total": "751"}, "data.total"),
        (7, {"added": "51"}, "data.from"),
        (7, {"res": "req_" + "0" * 32}, "data.res"),
        (8, {"amount": "749"}, "data (the hold)"),
        (8, {"returned": []}, "data.returned"),
        (10, {"taken": [], "returned": [[1, "300"]]}, "data.taken"),
        (10, {"charge": "320", "taken": [[1, "320"]], "returned": []}, "data.taken"),
        (11, {"grant_no": 1}, "data.grant_no"),
        (12, {"amount": "501"}, "grant 2"),
        (13, {"amount": "101"}, "data.available"),
        (14, {"amount": "101"}, "grant 1"),
        (15, {"to": [[1, "201"]]}, "data.to"),
        (15, {"amount": "9000", "to": [[1, "9000"]]}, "grant 1"),
        (17, {"extra": "99"}, "data.extra"),
        (17, {"reserved_was": "0"}, "data.reserved_was"),
    ],
)
def test_a_false_claim_is_named_where_it_stands(story, position, change, column):
    bodies = bodies_of(story)
    bodies[position - 1]["data"] |= change
    _, found = folded(bodies)
    named = [(at, name) for at, name, _, _ in found]
    assert any(at == position and name.startswith(column) for at, name in named), found


def test_one_false_balance_blames_one_event(story):
    bodies = bodies_of(story)
    bodies[4]["data"]["available"] = "1"
    _, found = folded(bodies)
    assert [(at, column) for at, column, _, _ in found] == [
        (5, "data.available"),
        (6, "data.available"),
    ], "the event after it says the truth again, and then all is well"


def test_a_balance_below_zero_is_named():
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 10)
    builder.stories[name].available = -5
    builder.stories[name].grants[0].available = -5
    builder.event("CreditsExpired", name, {"grant_no": 1, "amount": "15", "cause": "shelf"})
    _, found = folded(bodies_of(builder))
    assert (3, "balance", "-5 / 0", "never negative") in found
    assert any(column == "grant 1" for _, column, _, _ in found)


def test_events_of_an_account_that_was_never_opened_are_named():
    builder = LogBuilder()
    name = builder.account()
    builder.freeze(name)
    _, found = folded(bodies_of(builder)[1:])
    assert [column for _, column, _, _ in found] == ["account_id"]


def test_a_reservation_opened_twice_is_named(story):
    bodies = bodies_of(story)
    twice = bodies[5] | {"data": bodies[5]["data"] | {"res": bodies[15]["data"]["res"]}}
    fold, found = folded([*bodies[:5], twice, *bodies[15:16]])
    assert any(column == "data.res" for _, column, _, _ in found)


def test_another_accounts_hold_cannot_be_closed():
    builder = LogBuilder()
    owner, thief = builder.account(), builder.account()
    key = builder.key(owner)
    for name in (owner, thief):
        builder.grant(name, 1000)
    res = builder.reserve(owner, key, 100)
    builder.holds[res]["account_id"] = thief
    builder.stories[thief].reserved += 100
    builder.settle(res, 100)
    _, found = folded(bodies_of(builder))
    assert any(column == "data.res" for _, column, _, _ in found)


def test_keys_and_freezes_are_folded():
    builder = LogBuilder()
    name = builder.account()
    kept, revoked = builder.key(name), builder.key(name)
    builder.revoke(revoked)
    builder.freeze(name, "dispute:dp_1")
    builder.freeze(name, "manual")
    fold, found = folded(bodies_of(builder))
    assert found == []
    assert (fold.keys[kept]["status"], fold.keys[revoked]["status"]) == ("active", "revoked")
    assert fold.accounts[name].status == "frozen"
    builder.event("AccountUnfrozen", name, {"reason": "manual", "still": ["dispute:dp_1"]})
    assert folded(bodies_of(builder))[0].accounts[name].freezes == ["dispute:dp_1"]
    builder.event("AccountUnfrozen", name, {"reason": "dispute:dp_1", "still": []})
    builder.event("AccountClosed", name, {"reason_code": "asked", "note_id": None})
    assert folded(bodies_of(builder))[0].accounts[name].status == "closed"


def test_a_foreign_key_cannot_be_revoked():
    builder = LogBuilder()
    owner, thief = builder.account(), builder.account()
    key = builder.key(owner)
    builder.event("KeyRevoked", thief, {"key_id": key, "reason_code": "lost"})
    fold, found = folded(bodies_of(builder))
    assert [column for _, column, _, _ in found] == ["data.key_id"]
    assert fold.keys[key]["status"] == "active"


def test_a_refund_to_a_new_grant_moves_what_the_old_one_had_charged():
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 1000)
    res = builder.reserve(name, key, 600)
    builder.settle(res, 600)
    builder.stories[name].available += 250
    child = {"grant_id": "grant_" + "0" * 32, "grant_no": 2, "parent_no": 1, "expires_at": None}
    data = {
        "res": res, "refund_no": 1, "amount": "250", "margin": "0", "whole": False,
        "to": [[2, "250"]], "child": child, "fee_reversed": None, "reason_code": "goodwill",
        "note_id": None,
    }  # fmt: skip
    builder.event("CreditsRefunded", name, data)
    fold, found = folded(bodies_of(builder))
    assert found == []
    parent, born = fold.accounts[name].grants[1], fold.accounts[name].grants[2]
    assert (parent.charged, parent.moved, born.available, born.charged) == (350, 250, 250, 0)
    assert (parent.left_over, born.left_over) == (0, 0)


def test_a_reversal_may_give_back_what_another_claim_took():
    """Two claims overlap: the second is reversed on a grant that only the first one named."""
    account, key = "acct_" + "1" * 32, "key_" + "1" * 32
    rules = Rules()
    rules.run(open_account(account))
    rules.run(issue_key(account, key, rules.at))
    expires_at = rules.at + timedelta(minutes=1)
    paid = {"source": "purchase", "payment": "pi_1", "expires_at": expires_at}
    rules.run(granted(account, 300, **paid))
    for number, amount in ((1, 100), (2, 200)):
        res = f"req_{number:032x}"
        rules.run(reserve(account, key, amount, rules.at, res=res))
        rules.run(settle(account, res, amount))
    rules.run(clawback(account, "pi_1", 150, 300, "dispute:1"))  # lost: it is spent
    rules.after(minutes=2).run(refund(account, "req_" + f"{2:032x}", 150))  # to a child
    rules.run(clawback(account, "pi_1", 300, 300, "dispute:2"))  # taken of the child
    rules.run(reverse(account, "dispute:2"))
    envelope = {"account_id": account, "partition": 0}
    bodies = [
        {**envelope, "position": n, "type": event.type, "data": event.data}
        for n, event in enumerate(rules.events, start=1)
    ]
    reversed_ = [b["data"]["grant_no"] for b in bodies if b["type"] == "ClawbackReversed"]
    assert reversed_ == [1, 2]
    assert folded(bodies)[1] == []
