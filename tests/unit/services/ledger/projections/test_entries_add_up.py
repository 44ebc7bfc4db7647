"""The lines of a statement explain the balance, whatever happened to the account."""

from collections import defaultdict

import orjson
import pytest

from libs.events.codec import decode_event
from libs.events.events import EVENTS, MONEY_EVENTS
from services.ledger.projections.entries import LINES, lines
from tests.support.log_builder import LogBuilder
from tests.support.stories import live

HOLDS = {"reservation", "release"}
TYPES = ["top_up", "reservation", "charge", "release", "refund", "expiry", "clawback", "adjustment"]


def bodies(builder):
    return [orjson.loads(row[5]) for row in builder.rows]


@pytest.fixture
def account():
    builder = LogBuilder()
    name = builder.account()
    key = builder.key(name)
    builder.grant(name, 10_000)
    return builder, name, key


def seen(builder):
    return [(e.type, e.amount, e.available, e.reserved) for b in bodies(builder) for e in lines(b)]


@pytest.mark.parametrize("seed", range(30))
def test_lines_add_up_to_available_and_holds_to_minus_reserved(seed):
    builder = live(LogBuilder(), seed, steps=150)
    for body in bodies(builder):
        assert isinstance(decode_event(orjson.dumps(body)), dict), "the story writes real events"
    totals, held, last = defaultdict(int), defaultdict(int), {}
    for body in bodies(builder):
        for entry in lines(body):
            assert entry.type in TYPES
            totals[entry.account_id] += entry.amount
            held[entry.account_id] += entry.amount if entry.type in HOLDS else 0
            assert entry.available == totals[entry.account_id] >= 0
            assert entry.reserved == -held[entry.account_id] >= 0
            last[entry.account_id] = entry
    for story in builder.stories.values():
        entry = last[story.account_id[5:]]
        assert (entry.available, entry.reserved) == (story.available, story.reserved)


def test_every_money_event_has_lines_and_no_other_event_has():
    assert set(LINES) == MONEY_EVENTS
    assert lines({"type": "KeyRevoked", "data": {}}) == []


def test_random_lives_contain_every_money_event():
    found = {b["type"] for seed in range(30) for b in bodies(live(LogBuilder(), seed, 150))}
    assert found >= MONEY_EVENTS
    assert found <= set(EVENTS)


def test_a_settled_hold_comes_back_whole_and_the_charge_is_its_own_line(account):
    builder, name, key = account
    builder.settle(builder.reserve(name, key, 4000), 1500)
    assert seen(builder) == [
        ("top_up", 10_000, 10_000, 0),
        ("reservation", -4000, 6000, 4000),
        ("release", 4000, 10_000, 0),
        ("charge", -1500, 8500, 0),
    ]


def test_a_charge_above_the_hold_shows_the_whole_charge(account):
    builder, name, key = account
    builder.settle(builder.reserve(name, key, 9000), 12_000)
    assert seen(builder)[2:] == [("release", 9000, 10_000, 0), ("charge", -10_000, 0, 0)]
    entry = lines(bodies(builder)[-1])[-1]
    assert entry.reason_code == "overrun"


def test_a_free_request_still_shows_its_charge(account):
    builder, name, key = account
    builder.settle(builder.reserve(name, key, 10), 0)
    assert [line[:2] for line in seen(builder)[2:]] == [("release", 10), ("charge", 0)]


def test_a_late_settlement_has_no_hold_to_give_back(account):
    builder, name, key = account
    res = builder.reserve(name, key, 500)
    builder.expire(res)
    builder.settle_late(name, res, 300)
    assert [line[:2] for line in seen(builder)[2:]] == [("release", 500), ("charge", -300)]


def test_an_unsettled_hold_charges_only_what_its_rule_says(account):
    builder, name, key = account
    builder.expire(builder.reserve(name, key, 500))
    builder.expire(builder.reserve(name, key, 500), charge=200)
    last_three = [line[:2] for line in seen(builder)[2:] if line[0] != "reservation"]
    assert last_three == [("release", 500), ("release", 500), ("charge", -200)]


@pytest.mark.parametrize(
    ("source", "kind"), [("purchase", "top_up"), ("initial", "top_up"), ("admin", "adjustment")]
)
def test_an_operators_grant_is_an_adjustment(account, source, kind):
    builder, name, _ = account
    builder.grant(name, 5, source, reason_code="goodwill")
    entry = lines(bodies(builder)[-1])[0]
    assert (entry.type, entry.source, entry.grant_no) == (kind, source, 2)
    assert entry.reason_code == "goodwill"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [("dispute:dp_1", "clawback"), ("adjustment", "adjustment"), ("write_off", "adjustment")],
)
def test_a_clawback_by_the_operator_is_an_adjustment(account, cause, kind):
    builder, name, _ = account
    builder.claw_back(name, 1, 70, cause)
    assert seen(builder)[-1] == (kind, -70, 9930, 0)


def test_a_line_names_its_reservation_key_operation_and_time(account):
    builder, name, key = account
    res = builder.reserve(name, key, 10, operation="score-image")
    entry = lines(bodies(builder)[-1])[0]
    assert (entry.res, entry.key_id) == (res[4:], key[4:])
    assert entry.operation == "score-image"
    assert (entry.position, entry.partition, entry.line) == (builder.position, 0, 0)
    assert entry.occurred_at == builder.at


def test_a_clawback_of_what_was_spent_takes_nothing_and_has_no_line(account):
    builder, name, _ = account
    builder.claw_back(name, 1, 0, "dispute:dp_1", lost=10)
    assert lines(bodies(builder)[-1]) == []
    builder.reverse(name, 1, 0, "dispute:dp_1", lost=10)
    assert lines(bodies(builder)[-1]) == []
