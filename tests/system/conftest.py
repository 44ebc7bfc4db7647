import pytest

from tests.support.installation import installation


@pytest.fixture(scope="module")
async def farebox(request, database, streams, tmp_path_factory):
    """A ledger with its reader on the module's own database; its books are proven at the end.

    A module's `ENV` holds further variables by kind of process.
    """
    env = getattr(request.module, "ENV", {})
    async with installation(database, tmp_path_factory.mktemp("farebox"), env) as made:
        yield made


@pytest.fixture
async def provider(farebox):
    """The provider, with nothing asked and nothing scripted yet."""
    farebox.provider.record.reset()
    return farebox.provider


@pytest.fixture
async def nats(farebox):
    """The stack's NATS server, which a test may kill: it runs again after the test.

    It is started in the test's own thread: a server ends with the thread that started it.
    """
    server = farebox.database.stack.nats
    yield server
    if not server.alive:
        server.start()
