import pytest

from tests.guards.guard import ROOT, Guard, guards


@pytest.mark.parametrize("guard", guards(), ids=lambda guard: guard.name)
def test_every_guard_can_still_be_removed(guard: Guard):
    assert guard.problem(ROOT) is None
