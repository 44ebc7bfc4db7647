"""What the writer remembers stays within its bounds, and the newest of it is what stays."""

import uuid

import pytest

from services.ledger.command_key import CommandKey
from services.ledger.working_set import Overlay, WorkingSet, remember

pytestmark = pytest.mark.requirement("RSV-4")


def merged(working: WorkingSet, count: int) -> list[CommandKey]:
    """Have so many commands answered, each in a batch of its own."""
    keys = []
    for _ in range(count):
        overlay = Overlay(working)
        keys.append(CommandKey(uuid.uuid4().bytes))
        overlay.commands[keys[-1]] = remember(bytes(32), b"{}")
        working.merge(overlay)
        assert keys[-1] in working.commands
    return keys


@pytest.mark.parametrize("limit", [1, 5, 63, 64, 500])
def test_never_more_than_the_limit_and_little_less(limit: int):
    working = WorkingSet(1, limit)
    keys = merged(working, 2 * limit + 7)
    kept = list(working.commands)
    assert limit - limit // 64 <= len(kept) <= limit
    assert kept == keys[-len(kept) :]


def test_nothing_is_remembered_where_nothing_may_be():
    working = WorkingSet(1, 0)
    overlay = Overlay(working)
    overlay.commands[CommandKey(bytes(16))] = remember(bytes(32), b"{}")
    working.merge(overlay)
    assert not working.commands
