"""The statement by grant: nothing of a grant is lost, and all grants together are the balance."""

from collections import defaultdict

import orjson
import pytest

from libs.events.events import MONEY_EVENTS
from services.ledger.projections import grants
from services.ledger.replay import Fold
from services.ledger.schema import grants as table
from tests.support.log_builder import LogBuilder, split
from tests.support.stories import live

pytestmark = pytest.mark.requirement("CRD-3")


def bodies(builder):
    return [orjson.loads(row[5]) for row in builder.rows]


def folded(events):
    """Every row, loaded as the projector loads it: only what an event says that it touches."""
    kept = {}
    for event in events:
        rows = {key: kept[key] for key in grants.touched(event) if key in kept}
        grants.apply(rows, event)
        kept |= rows
    return kept


def left_over(row):
    spent = row.charged - row.refunded + row.expired + row.clawed + row.moved
    return row.granted - row.available - row.reserved - spent


@pytest.mark.parametrize("seed", range(20))
def test_each_grant_is_explained_and_all_are_the_balance(seed):
    builder = live(LogBuilder(), seed, steps=150)
    events = bodies(builder)
    rows = folded(events)
    of = defaultdict(lambda: [0, 0])
    for (account, _), row in rows.items():
        assert left_over(row) == 0, row
        assert min(row.available, row.reserved, row.charged, row.refunded) >= 0
        of[account][0] += row.available
        of[account][1] += row.reserved
    for story in builder.stories.values():
        assert of[story.account_id[5:]] == [story.available, story.reserved]


@pytest.mark.parametrize("seed", range(10))
def test_the_fold_of_the_audit_comes_to_the_same_by_another_way(seed):
    events = bodies(live(LogBuilder(), 100 + seed, steps=150))
    fold = Fold(lambda *_: None)
    for event in events:
        fold.apply(fold.account(event["account_id"], 0), event)
    rows = folded(events)
    computed = {
        (account.account_id[5:], grant.no): (
            grant.available, grant.reserved, grant.charged, grant.expired, grant.clawed,
        )
        for account in fold.accounts.values()
        for grant in account.grants.values()
    }  # fmt: skip
    assert computed == {
        key: (row.available, row.reserved, row.charged - row.refunded, row.expired, row.clawed)
        for key, row in rows.items()
    }


def test_a_charge_above_its_hold_takes_the_rest_from_what_was_available():
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    builder.grant(name, 50)
    res = builder.reserve(name, key, 120)
    builder.settle(res, 140)
    rows = folded(bodies(builder))
    first, second = rows[name[5:], 1], rows[name[5:], 2]
    assert (first.available, first.reserved, first.charged) == (0, 0, 100)
    assert (second.available, second.reserved, second.charged) == (10, 0, 40)


def test_what_a_refund_gives_back_of_an_expired_grant_moves_into_a_child():
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100, payment="pi_1", pack="usd-10")
    res = builder.reserve(name, key, 60)
    builder.settle(res, 60)
    builder.expire_grant(name, 1)
    story = builder.stories[name]
    story.available += 60
    child = {
        "grant_id": "grant_" + "0" * 32, "grant_no": 2, "parent_no": 1,
        "expires_at": "2027-01-01T00:00:00.000000Z",
    }  # fmt: skip
    data = {
        "res": res, "refund_no": 1, "amount": "60", "margin": "0", "whole": True,
        "to": [[2, "60"]], "child": child, "fee_reversed": None, "reason_code": "goodwill",
        "note_id": None,
    }  # fmt: skip
    builder.event("CreditsRefunded", name, data)
    rows = folded(bodies(builder))
    parent, made = rows[name[5:], 1], rows[name[5:], 2]
    assert (parent.charged, parent.refunded, parent.moved, parent.expired) == (60, 60, 60, 40)
    assert (made.granted, made.available, made.parent_no) == (60, 60, 1)
    assert (made.source, made.payment, made.pack) == ("purchase", "pi_1", None)
    assert (left_over(parent), left_over(made)) == (0, 0)


def test_what_an_unreadable_event_granted_is_told_as_unknown():
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 100)
    builder.reserve(name, key, 30)
    events = [event for event in bodies(builder) if event["type"] != "CreditsGranted"]
    (row,) = folded(events).values()
    assert (row.source, row.granted, row.available, row.reserved) == ("unknown", 0, -30, 30)


def test_every_money_event_moves_a_grant_and_rows_are_those_of_the_table():
    assert set(grants.CHANGES) == set(grants.TOUCHED) == MONEY_EVENTS
    assert list(grants.Grant._fields) == list(table.columns.keys())
    assert split([[1, "5"]], 2) == ([[1, "2"]], [[1, "3"]])  # the story's own arithmetic
