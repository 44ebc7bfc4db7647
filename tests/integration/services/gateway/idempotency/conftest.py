from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from simulators.provider.app import RunningProvider
from tests.support.gateway import GatewayLedger, RunningGateway, catalogue_for, running_gateway


@pytest.fixture(scope="module")
async def the_pair(
    the_provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[RunningGateway, RunningGateway]]:
    catalogue, ledger = catalogue_for(the_provider.url), GatewayLedger()
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(
                running_gateway(tmp_path_factory.mktemp(name), catalogue, ledger)
            )
            for name in ("one", "other")
        ]
        yield one, other


@pytest.fixture
def pair(
    the_pair: tuple[RunningGateway, RunningGateway], provider: RunningProvider
) -> tuple[RunningGateway, RunningGateway]:
    """Two workers on one empty ledger."""
    the_pair[0].ledger.reset()
    return the_pair
