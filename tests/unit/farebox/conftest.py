from collections.abc import AsyncIterator

import pytest

from libs.catalogue import parse
from services.gateway.admin.api import admin_api
from services.gateway.admin.context import Admin
from services.gateway.admin.roles import holders, operators
from tests.support.admin_command import TOKEN, Operator, serve
from tests.support.catalogue import EXAMPLE
from tests.support.ledger_in_memory import LedgerInMemory


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    ledger = LedgerInMemory("admin")
    async with serve(
        admin_api(Admin(parse(EXAMPLE), ledger, None), holders(operators(TOKEN)))
    ) as url:
        yield Operator(ledger, url)
