"""Whatever happens to an account: every grant adds up, and nobody gets more than there was."""

import pytest
from hypothesis import given, settings

from services.ledger.domain.state import Accepted
from tests.support.credit_lives import Life, Tally, steps

pytestmark = pytest.mark.requirement("CRD-4", "CRD-5", "CRD-7", "PAY-4", "PAY-5")


@settings(max_examples=150)
@given(steps)
def test_every_life_conserves_every_grant_and_keeps_within_its_bounds(drawn):
    life, tally = Life(), Tally()
    for command in life.begin():
        run(life, tally, command)
    for step in drawn:
        command = life.command(*step)
        if command is not None:
            run(life, tally, command)
            tally.check(life)


def run(life, tally, command):
    before = len(life.rules.events)
    if isinstance(life.rules.run(command), Accepted):
        assert len(life.rules.events) > before
    for event in life.rules.events[before:]:
        assert tally.balanced(event.type, event.data)
        tally.add(event.type, event.account_id, event.data)
