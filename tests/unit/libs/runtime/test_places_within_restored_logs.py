"""From where a consumer goes on, for every place it can be in when a log was restored."""

import pytest

from libs.runtime.positions import Incarnation, Place

TWICE = [Incarnation(2, 101), Incarnation(3, 150)]


@pytest.mark.parametrize(
    ("place", "later", "then"),
    [
        (Place(1, 120), [], Place(1, 120)),
        (Place(1, 120), [Incarnation(2, 101)], Place(2, 100)),
        (Place(1, 100), [Incarnation(2, 101)], Place(2, 100)),
        (Place(1, 99), [Incarnation(2, 101)], Place(2, 99)),
        (Place(1, 0), [Incarnation(2, 101)], Place(2, 0)),
        (Place(1, 7), [Incarnation(2, 1)], Place(2, 0)),
        (Place(2, 120), [Incarnation(2, 101)], Place(2, 120)),
        (Place(1, 170), TWICE, Place(3, 100)),
        (Place(2, 170), TWICE, Place(3, 149)),
        (Place(2, 140), TWICE, Place(3, 140)),
        (Place(3, 170), TWICE, Place(3, 170)),
        (Place(1, 170), [Incarnation(2, 101), Incarnation(5, 60)], Place(5, 59)),
    ],
)
@pytest.mark.requirement("OPS-2")
def test_it_goes_back_to_before_the_first_event_that_may_differ(place, later, then):
    assert place.within(later) == then
    assert then.within(later) == then, "and only once"
