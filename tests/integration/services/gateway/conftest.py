from collections.abc import AsyncIterator

import pytest

from simulators.provider.app import RunningProvider, running_provider
from tests.support.catalogue import EXAMPLE
from tests.support.deadlines import ToldDeadline, told_deadlines
from tests.support.gateway import GatewayLedger, RunningGateway, catalogue_for, running_gateway


@pytest.fixture(scope="module")
async def the_provider() -> AsyncIterator[RunningProvider]:
    async with running_provider() as running:
        yield running


@pytest.fixture(scope="module")
async def the_gateway(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    the_provider: RunningProvider,
) -> AsyncIterator[RunningGateway]:
    """A module's `TOML` is sold in place of the example; its `SETTINGS` are those of the worker."""
    catalogue = catalogue_for(the_provider.url, getattr(request.module, "TOML", EXAMPLE))
    settings, folder = getattr(request.module, "SETTINGS", {}), tmp_path_factory.mktemp("gateway")
    async with running_gateway(folder, catalogue, GatewayLedger(), **settings) as running:
        yield running


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> list[ToldDeadline]:
    """Those of the model calls, as they are made; a test lets one pass when it is ready."""
    return told_deadlines(monkeypatch)


@pytest.fixture
def provider(the_provider: RunningProvider) -> RunningProvider:
    """A provider that was asked nothing yet."""
    the_provider.record.reset()
    return the_provider


@pytest.fixture
def ledger(the_gateway: RunningGateway) -> GatewayLedger:
    """The module's gateway's ledger, empty."""
    the_gateway.ledger.reset()
    return the_gateway.ledger


@pytest.fixture
def gateway(
    the_gateway: RunningGateway, provider: RunningProvider, ledger: GatewayLedger
) -> RunningGateway:
    """The module's worker, on an empty ledger; its upstreams are the provider."""
    return the_gateway
