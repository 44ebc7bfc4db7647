from collections.abc import AsyncIterator

import pytest

from simulators.provider.app import RunningProvider
from tests.support.repeats import Pair, running_pair


@pytest.fixture(scope="module")
async def the_pair(
    the_provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path_factory, the_provider.url) as pair:
        yield pair


@pytest.fixture
def pair(the_pair: Pair, provider: RunningProvider) -> Pair:
    """Two workers on one empty ledger."""
    the_pair[0].ledger.reset()
    return the_pair
