"""The audit checks every event against the invariants of the simulation, in little memory."""

import pytest

from services.ledger.checks.log import LogCheck
from services.ledger.checks.report import Differences
from services.ledger.invariants import INVARIANTS
from tests.support.log_builder import LogBuilder
from tests.support.stories import live

pytestmark = pytest.mark.requirement("AUD-6")


@pytest.fixture
def builder():
    builder = LogBuilder()
    builder.name = builder.account()
    builder.key_id = builder.key(builder.name)
    builder.grant(builder.name, 10_000)
    return builder


def audited(builder):
    differences = Differences()
    check = LogCheck(builder.partition, 3, differences)
    for row in builder.rows:
        check.check(row[1:])
    check.invariants.finish()
    return check, differences


def test_a_late_charge_above_its_hold_is_found_by_the_audit(builder):
    res = builder.reserve(builder.name, builder.key_id, 100)
    builder.expire(res)
    builder.settle_late(builder.name, res, 101)
    _, differences = audited(builder)
    assert [(d.column, d.stored, d.computed, d.invariant) for d in differences.listed] == [
        ("a late charge is within the hold", 101, 100, "charges_bounded")
    ]
    assert differences.by_invariant == {"charges_bounded": 1}


def test_a_reservation_that_is_opened_twice_is_found_by_the_audit(builder):
    res = builder.reserve(builder.name, builder.key_id, 100)
    builder.reserve(builder.name, builder.key_id, 100, res=res)
    _, differences = audited(builder)
    assert "reservations_end_once" in differences.by_invariant
    assert set(differences.by_invariant) <= set(INVARIANTS)


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_log_breaks_none_and_ended_holds_are_forgotten(seed):
    builder = live(LogBuilder(), seed, steps=300)
    check, differences = audited(builder)
    assert differences.listed == []
    kept = check.invariants.lives._lives
    assert {res for res, life in kept.items() if life.state == "open"} == set(builder.holds)
    assert {life.state for life in kept.values()} <= {"open", "expired"}
