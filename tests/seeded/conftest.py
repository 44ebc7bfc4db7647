import asyncio

import pytest

from tests.seeded.held import Held


@pytest.fixture
async def held():
    made = Held()
    await made.start()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)
