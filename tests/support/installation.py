"""Farebox as real processes on a test's own database; the outside world is in the test's loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson

from libs.catalogue import load
from libs.events import commands as c
from libs.events.events import TYPE_NAMES
from libs.events.ids import new_id, new_secret, parse_id, partition_of, secret_hash
from libs.runtime.command_client import CommandClient
from libs.runtime.database import connect
from libs.runtime.settings import Settings
from services.ledger.verify import verify
from simulators.provider.app import RunningProvider, running_provider
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import CATALOGUE, command, grant, issue_key
from tests.support.process import Process
from tests.support.projecting import connection_of
from tests.support.publishing import publish_everywhere
from tests.support.services import example_config, ledger_client
from tests.support.settings import settings_for
from tests.support.waiting import until

DOLLAR = CREDIT = 10**9
ADMIN_TOKEN = "operator-token"
_PATIENT_S = 20.0


@dataclass(frozen=True)
class Customer:
    """An account, and the headers that its two keys travel in."""

    account: str
    key_id: str
    inference: Mapping[str, str]
    owner: Mapping[str, str]


class Installation:
    """Processes by name (`gateway`, `gateway-2`, …), and what operators and customers do.

    `env` is what each kind of process gets beside its credentials.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        config: Path,
        provider: RunningProvider,
        admin: CommandClient,
        http: httpx.AsyncClient,
    ) -> None:
        self.database = database
        self.folder = folder
        self.config = config
        self.provider = provider
        self.admin = admin
        self.http = http
        free = {"FAREBOX_LISTEN": "127.0.0.1:0"}
        keys = {f"FAREBOX_UPSTREAM_{name}_KEY": provider.key for name in ("NORTH", "SCORER")}
        self.env: dict[str, dict[str, str]] = {
            "gateway": free | keys,
            "admin": free | {"FAREBOX_ADMIN_TOKEN": ADMIN_TOKEN},
            "payments": dict(free),
        }
        self.processes: dict[str, Process] = {}

    # Processes.

    def process(self, name: str) -> Process:
        return self.processes[name]

    def add(self, name: str, **env: str) -> Process:
        """A process that is not started yet; one of this name must have ended."""
        before = self.processes.get(name)
        assert before is None or not before.alive, f"{name} still runs"
        given = self.env.get(name.partition("-")[0], {}) | env
        made = Process(name, self.database, self.folder, config=self.config, env=given)
        self.processes[name] = made
        return made

    async def start(self, *names: str, **env: str) -> None:
        """Start processes side by side; return when all are ready."""
        made = [self.add(name, **env).start(ready=False) for name in names]
        for process in made:
            await asyncio.to_thread(process.wait_ready)

    async def kill(self, name: str) -> None:
        """kill -9, and wait until it is gone."""
        self.process(name).kill()
        await asyncio.to_thread(self.process(name).wait)

    async def stop(self) -> None:
        """End all that still run; the last started goes first."""
        for process in reversed(self.processes.values()):
            await asyncio.to_thread(process.stop)

    def metric(self, name: str, metric: str) -> int:
        """A number that a process tells of itself."""
        text = httpx.get(self.process(name).url("health", "/metrics"), timeout=5).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return int(values[f"farebox_{metric}"])

    # Operators.

    async def customer(
        self, nanos: int = 0, *, unit: str = "USD", plan: str = "payg", partition: int | None = None
    ) -> Customer:
        """Open an account with this much available and two keys."""
        account = new_id("acct")
        while partition is not None and partition_of(account, PARTITIONS) != partition:
            account = new_id("acct")
        opened = {"unit": unit, "plan": plan, "catalogue": "c" * 64}
        await self.order(command(c.OpenAccount, account, opened, caller_id=account))
        if nanos:
            await self.order(grant(account, nanos))
        key_id, inference = await self._key(account, "inference")
        _, owner = await self._key(account, "account")
        return Customer(account, key_id, inference, owner)

    async def _key(self, account: str, purpose: str) -> tuple[str, Mapping[str, str]]:
        key_id, secret = new_id("key"), new_secret(partition_of(account, PARTITIONS))
        deadline = self.admin.ledger_now() + timedelta(seconds=60)
        hashed = secret_hash(secret)
        await self.order(issue_key(account, key_id, deadline, secret_hash=hashed, purpose=purpose))
        return key_id, {"authorization": f"Bearer {secret}"}

    async def order(self, what: c.Command) -> None:
        """Have the ledger carry out a command of class admin."""
        reply = await self.admin.send(what, give_up_s=_PATIENT_S)
        assert reply.reply not in {"Declined", "Conflict", "Malformed"}, reply

    async def balance(self, customer: Customer) -> tuple[int, int]:
        """Available and reserved, in nanos."""
        question = {"account_id": customer.account}
        answer = await self.admin.query("balance", question, account_id=customer.account)
        return int(answer["data"]["available"]), int(answer["data"]["reserved"])

    async def settled(self, customer: Customer, patience_s: float = _PATIENT_S) -> int:
        """Wait until nothing is held; return what is available."""

        async def nothing_is_held() -> bool:
            return (await self.balance(customer))[1] == 0

        await until(nothing_is_held, patience_s)
        return (await self.balance(customer))[0]

    # Customers.

    async def chat(self, gateway: str, customer: Customer, **fields: Any) -> httpx.Response:
        body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]} | fields
        url = self.process(gateway).url("http", "/v1/chat/completions")
        return await self.http.post(url, json=body, headers=customer.inference)

    async def score(self, gateway: str, customer: Customer, image: str = "a cat") -> httpx.Response:
        url = self.process(gateway).url("http", "/v1/score-image")
        return await self.http.post(url, json={"image": image}, headers=customer.inference)

    async def billing(
        self, gateway: str, customer: Customer, path: str, method: str = "GET", **more: Any
    ) -> dict[str, Any]:
        """What the account's owner is answered at /billing/v1."""
        url = self.process(gateway).url("http", f"/billing/v1{path}")
        answer = await self.http.request(method, url, headers=customer.owner, **more)
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body

    # Auditors.

    async def events(self, account: str, kind: str | None = None) -> list[dict[str, Any]]:
        """The account's events as they were hashed, in order."""
        async with connection_of(self.database, "auditor") as connection:
            rows = await connection.fetch(
                "select type, body from ledger.events where account_id = $1 order by version",
                parse_id(account, "acct"),
            )
        return [
            orjson.loads(row["body"]) for row in rows if kind in (None, TYPE_NAMES[row["type"]])
        ]

    async def kinds(self, account: str) -> list[str]:
        return [event["type"] for event in await self.events(account)]

    async def assert_books_are_right(self) -> None:
        await assert_books_are_right(self.database)


async def assert_books_are_right(database: Database) -> None:
    """Chain, balances, reservations, keys and projections are what the log says."""
    connection = await connect(settings_for(Settings, "audit", database))
    try:
        report = await verify(connection, lambda _line: None)
    finally:
        await connection.close()
    assert [str(difference) for difference in report.differences] == []
    assert report.events > 0


def charge_of(usage: Mapping[str, Any]) -> int:
    """The nanos that the example catalogue charges on `payg` for a call of swift-1."""
    cost_pico = usage["prompt_tokens"] * 250_000 + usage["completion_tokens"] * 2_000_000
    return -(-cost_pico * 11 // 10_000)


@asynccontextmanager
async def installation(
    database: Database, folder: Path, env: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[Installation]:
    """A provider, and a ledger with its reader; tests start what else they need.

    `env` holds further variables by kind of process. When the block ends without an error, the
    books are proven before the processes stop.
    """
    async with (
        running_provider() as provider,
        ledger_client(database, "admin", "admin") as admin,
        httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as http,
    ):
        config = example_config(folder)
        text = config.read_text().replace("https://llm.north.example", provider.url)
        config.write_text(text.replace("http://127.0.0.1:9100", provider.url))
        made = Installation(database, folder, config, provider, admin, http)
        for kind, more in env.items():
            made.env[kind] = {**made.env.get(kind, {}), **more}
        try:
            await made.start("ledger", "reader")
            await admin.check_installation()
            for catalogue in (load(config).hash, CATALOGUE):
                await publish_everywhere(admin, catalogue)
            yield made
            await made.assert_books_are_right()
        finally:
            await made.stop()
