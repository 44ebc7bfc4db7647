"""Even chunks of seeds; the odd ones stand in another file, so that two workers share them."""

import pytest

from tests.seeded.simulation import CHUNKS, search


@pytest.mark.requirement("RSV-1", "RSV-4")
@pytest.mark.parametrize("chunk", range(0, CHUNKS, 2))
def test_nothing_that_can_go_wrong_breaks_an_invariant(chunk):
    search(chunk)
