"""What is in force at a moment, whichever way the clock goes from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.catalogues import Term, in_force

TERMS = {"old": Term("10", "30"), "new": Term("20"), "later": Term("40")}


@pytest.mark.parametrize(
    ("now", "names"),
    [("05", set()), ("10", {"old"}), ("20", {"old", "new"}), ("30", {"new"}), ("40", {"new", "later"})],
)  # fmt: skip
def test_from_its_moment_on_until_it_is_withdrawn(now, names):
    assert in_force(TERMS, now).hashes == names


@pytest.mark.requirement("CRD-6")
def test_what_is_in_force_is_looked_up_again_when_the_clock_steps_back():
    assert in_force(TERMS, "25").holds("29")
    assert not in_force(TERMS, "25").holds("30")
    assert not in_force(TERMS, "25").holds("19")


moments = st.integers(0, 50).map("{:02d}".format)


@given(moments, moments)
def test_what_holds_is_what_would_be_found(then, now):
    found = in_force(TERMS, then)
    if found.holds(now):
        assert found.hashes == in_force(TERMS, now).hashes
