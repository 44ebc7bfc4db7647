"""What is used each day adds up to the lines of that day; fees add up to what stands accrued."""

from collections import Counter, defaultdict

import orjson
import pytest

from services.ledger.projections import fees, requests, usage
from services.ledger.projections.entries import lines
from services.ledger.schema import fees as fees_table
from services.ledger.schema import usage_daily
from tests.support.log_builder import LogBuilder
from tests.support.stories import live


def bodies(builder):
    return [orjson.loads(row[5]) for row in builder.rows]


def counted(events):
    known, rows = {}, {}
    for event in events:
        if (res := requests.subject(event)) is not None:
            known[res] = requests.apply(known.get(res), event)
        if (res := usage.subject(event)) is not None:
            usage.apply(rows, usage.key_of(event, known[res]), event)
    return rows


@pytest.mark.requirement("AUD-3")
@pytest.mark.parametrize("seed", range(20))
def test_charges_and_refunds_of_a_day_are_those_of_its_lines(seed):
    events = bodies(live(LogBuilder(), seed, steps=150))
    stated = defaultdict(Counter)
    for event in events:
        for line in lines(event):
            stated[line.account_id, line.occurred_at.date()][line.type] += line.amount
    used = defaultdict(Counter)
    for row in counted(events).values():
        used[row.account_id, row.day].update(charge=-row.charged, refund=row.refunded)
    for day in stated.keys() | used.keys():
        for kind in ("charge", "refund"):
            assert stated[day][kind] == used[day][kind]


@pytest.fixture
def story():
    builder = LogBuilder()
    builder.name = builder.account()
    builder.one = builder.key(builder.name)
    builder.grant(builder.name, 10_000)
    return builder


def test_a_request_counts_once_whatever_becomes_of_it(story):
    name, key = story.name, story.one
    story.settle(story.reserve(name, key, 100), 40)
    story.release(story.reserve(name, key, 100))
    story.expire(story.reserve(name, key, 100))
    late = story.reserve(name, key, 100)
    story.expire(late, charge=10)
    story.settle_late(name, late, 30)
    (row,) = counted(bodies(story)).values()
    assert (row.requests, row.released, row.charged) == (4, 2, 80)
    assert orjson.loads(row.usage) == {"input_tokens": 20, "output_tokens": 10}


def test_each_day_key_operation_and_model_has_a_row_of_its_own(story):
    name, other = story.name, story.key(story.name)
    for key, given in (
        (story.one, {}),
        (other, {}),
        (other, {"operation": "score-image", "surface": "operation"}),
    ):
        story.settle(story.reserve(name, key, 100, **given), 10)
    rows = counted(bodies(story))
    assert {(row.key_id, row.operation, row.model) for row in rows.values()} == {
        (story.one[4:], "swift-1", "swift-1"),
        (other[4:], "swift-1", "swift-1"),
        (other[4:], "score-image", ""),
    }
    assert {row.day.isoformat() for row in rows.values()} == {"2026-11-20"}
    assert list(usage.Usage._fields) == list(usage_daily.columns.keys())


def test_counts_beyond_64_bits_stay_exact(story):
    for _ in range(3):
        held = story.reserve(story.name, story.one, 100)
        story.settle(held, 10, usage={"input_tokens": 2**53 - 1}, cost_pico=str(2**63 - 1))
    (row,) = counted(bodies(story)).values()
    assert row.cost_pico == 3 * (2**63 - 1)
    assert orjson.loads(row.usage) == {"input_tokens": 3 * (2**53 - 1)}


@pytest.mark.requirement("PRC-3")
def test_lines_of_fees_are_accruals_and_returns(story):
    fee = {"currency": "USD", "minor": 3, "schedule": "fidelity-1"}
    story.settle(story.reserve(story.name, story.one, 10, fee=fee), 5)
    story.release(story.reserve(story.name, story.one, 10, fee=fee))
    story.settle(story.reserve(story.name, story.one, 10), 5)
    found = [line for event in bodies(story) for line in fees.lines(event)]
    assert [line.minor for line in found] == [3, 3, -3]
    assert {(line.currency, line.schedule) for line in found} == {("USD", "fidelity-1")}
    stored = set(fees_table.columns.keys()) - {"key_id", "operation", "total"}
    assert set(fees.Fee._fields) == stored
