"""An alert level is reached from the very nano on at which it is."""

import pytest

from services.gateway.spend_limits import reached

pytestmark = pytest.mark.requirement("ACC-8")


@pytest.mark.parametrize(
    ("spent", "levels"),
    [("0", []), ("499999999", []), ("500000000", [50]), ("999999999", [50, 80]),
     ("1000000000", [50, 80, 100])],
)  # fmt: skip
def test_levels_are_reached_at_their_share(spent, levels):
    assert reached([50, 80, 100], "1000000000", spent) == levels


def test_without_a_limit_nothing_is_reached():
    assert reached([50], None, "5") == reached([50], "5", None) == []
