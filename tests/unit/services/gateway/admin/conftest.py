from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from libs.catalogue import parse
from services.gateway.admin.api import admin_api
from services.gateway.admin.context import Admin
from services.gateway.admin.kept import Kept
from services.gateway.admin.roles import holders, operators
from tests.support.catalogue import EXAMPLE
from tests.support.ledger_in_memory import LedgerInMemory

TOKEN = "operator-token"
VIEWER, SUPPORT = "a-viewers-own-token", "a-token-of-support"
MORE = f"vera:viewer:{VIEWER}, sam:support:{SUPPORT}"


@dataclass
class Shelf:
    """The quarantine, in memory."""

    messages: list[Kept] = field(default_factory=list)

    async def first_from(self, sequence: int) -> Kept | None:
        return next((kept for kept in self.messages if kept.sequence >= sequence), None)


@dataclass
class Api:
    """The admin API over a ledger in memory, and a client that holds the token."""

    http: httpx.AsyncClient
    ledger: LedgerInMemory
    admin: Admin
    made: int = 0

    async def post(self, path: str, body: object, key: str | None = None) -> httpx.Response:
        self.made += 1
        headers = {"idempotency-key": key or f"key-{self.made}"}
        return await self.http.post(f"/admin/v1{path}", json=body, headers=headers)

    async def open(self, plan: str = "payg", **fields: str) -> str:
        answer = await self.post("/accounts", {"plan": plan, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["account_id"]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    ledger = LedgerInMemory("admin")
    admin = Admin(parse(EXAMPLE), ledger, Shelf())
    door = admin_api(admin, holders(operators(TOKEN, MORE)))
    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://admin", headers=headers
    ) as http:
        yield Api(http, ledger, admin)
