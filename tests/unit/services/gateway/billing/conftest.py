import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import nats.errors
import pytest

from libs.catalogue import Catalogue, parse
from libs.events import commands as c
from libs.events.ids import new_id, new_secret, partition_of, secret_hash
from services.gateway.billing.api import billing_api
from services.gateway.keys import KeyDirectory
from tests.support.catalogue import EXAMPLE
from tests.support.deciding import command, grant, issue_key, open_account
from tests.support.ledger_in_memory import LedgerInMemory


@dataclass
class PaymentsDesk:
    """Answers the gateway's requests over NATS as told: `answers[name]` is the whole answer."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failure: Exception | None = None
    is_connected: bool = True

    async def request(self, subject: str, payload: bytes, timeout: float) -> Any:  # noqa: ASYNC109
        assert timeout > 0
        name = subject.removeprefix("payments.requests.")
        self.asked.append((name, json.loads(payload)))
        if self.failure is not None:
            raise self.failure
        if name not in self.answers:
            raise nats.errors.NoRespondersError
        return SimpleNamespace(data=json.dumps(self.answers[name]).encode())


@dataclass
class Customer:
    """An account with one key of each purpose."""

    account_id: str
    inference: str
    account: str
    inference_key: str
    service: str


@dataclass
class Api:
    http: httpx.AsyncClient
    ledger: LedgerInMemory
    payments: PaymentsDesk
    catalogue: Catalogue

    async def customer(self, unit: str = "USD", plan: str = "payg", amount: int = 0) -> Customer:
        account_id = new_id("acct")
        opening = open_account(account_id, unit)
        opening = opening.model_copy(
            update={"data": opening.data.model_copy(update={"plan": plan})}
        )
        await self._do(opening)
        if amount:
            await self._do(grant(account_id, amount))
        secrets = {}
        for purpose in ("inference", "account", "service"):
            key, secret = new_id("key"), new_secret(partition_of(account_id, 4))
            at = self.ledger.rules.at
            secrets[purpose] = (key, secret)
            await self._do(
                issue_key(account_id, key, at, secret_hash=secret_hash(secret), purpose=purpose)
            )
        return Customer(
            account_id, secrets["inference"][1], secrets["account"][1], secrets["inference"][0],
            secrets["service"][1],
        )  # fmt: skip

    async def _do(self, given: c.Command) -> None:
        self.ledger.command_class, kept = "admin", self.ledger.command_class
        reply = await self.ledger.send(given, give_up_s=1)
        self.ledger.command_class = kept
        assert reply.position is not None, reply

    async def freeze(self, customer: Customer) -> None:
        await self._do(command(c.FreezeAccount, customer.account_id, {"reason": "manual"}))

    async def get(self, path: str, secret: str, **params: Any) -> httpx.Response:
        return await self.call("GET", path, secret, params=params)

    async def call(self, method: str, path: str, secret: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret}"} | more.pop("headers", {})
        return await self.http.request(method, f"/billing/v1{path}", headers=headers, **more)


@pytest.fixture
def catalogue_text() -> str:
    """What is sold; a test may choose something else."""
    return EXAMPLE


@pytest.fixture
async def api(catalogue_text: str) -> AsyncIterator[Api]:
    catalogue, payments = parse(catalogue_text), PaymentsDesk()
    ledger = LedgerInMemory("use")
    gateway = SimpleNamespace(
        catalogue=catalogue,
        ledger=ledger,
        keys=KeyDirectory(ledger, partitions=4),
        nc=payments,
    )
    transport = httpx.ASGITransport(billing_api(gateway), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield Api(http, ledger, payments, catalogue)
