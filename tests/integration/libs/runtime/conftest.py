import asyncio
import shutil

import pytest

from libs.runtime.streams import provision
from tests.support.following import SCHEMA, Following
from tests.support.nats_server import NatsServer


async def eventually(condition, within_s=30.0):
    """Wait until ``condition()`` holds; fail when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions here are values, not events
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
async def nats_server(tmp_path_factory):
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    await server.start()
    yield server
    server.kill()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
async def own_nats_server(tmp_path):
    """A server for this test alone, to be killed and started again."""
    server = NatsServer(tmp_path)
    await server.start()
    yield server
    server.kill()


@pytest.fixture(name="eventually")
def eventually_fixture():
    return eventually


@pytest.fixture
async def world(own_nats_server, database):
    async with own_nats_server.client("provision") as nc:
        await provision(nc, 1, {"recharge": ()})
    database.sql(SCHEMA)
    yield Following(own_nats_server, database.dsn("recharge"))
    database.sql("drop schema pulled cascade")
