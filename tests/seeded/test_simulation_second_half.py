"""Odd chunks of seeds: see the first half."""

import pytest

from tests.seeded.simulation import CHUNKS, search


@pytest.mark.requirement("RSV-1", "RSV-4")
@pytest.mark.parametrize("chunk", range(1, CHUNKS, 2))
def test_nothing_that_can_go_wrong_breaks_an_invariant(chunk):
    search(chunk)
