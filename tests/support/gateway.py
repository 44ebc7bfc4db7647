"""A gateway worker in the test's own loop: real HTTP, a real provider, the ledger's own rules."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
from openai import AsyncOpenAI

from libs.catalogue import Catalogue, parse
from libs.events import commands as c
from libs.events.ids import new_id, new_secret, secret_hash
from libs.events.replies import Reply
from libs.runtime.clock import SystemClock
from libs.runtime.errors import LedgerUnavailable, QueryFailed
from libs.runtime.health import Health
from services.gateway.app import Worker, open_worker
from services.gateway.context import Gateway
from services.gateway.keys import KeyDirectory
from services.gateway.server import listen
from services.gateway.settings import GatewaySettings
from simulators.provider.app import RunningProvider
from simulators.provider.calls import Rule
from tests.support.catalogue import EXAMPLE
from tests.support.deciding import command, grant, issue_key
from tests.support.ledger_in_memory import LedgerInMemory
from tests.support.waiting import eventually

DOLLAR = 10**9
PROVIDER_KEY = "sk-provider-simulator"


@dataclass
class GatewayLedger(LedgerInMemory):
    """The ledger's rules with the ways in which a ledger may fail a gateway.

    `unheard`: kinds of commands that never arrive; `lost`: kinds whose reply never arrives;
    `held`: kinds that wait for their event.
    """

    command_class: str = "use"
    unheard: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    keys_by_hash: dict[str, tuple[str, str]] = field(default_factory=dict)
    tries: list[str] = field(default_factory=list)
    installations: int = 0

    def reset(self) -> None:
        """Forget everything, as a new ledger."""
        self.__dict__.update(GatewayLedger().__dict__)

    async def send(self, command: c.Command, *, give_up_s: float) -> Reply:
        self.tries.append(command.kind)
        if command.kind in self.held:
            await self.held[command.kind].wait()
        if command.kind in self.unheard:
            raise LedgerUnavailable("unheard")
        reply = await super().send(command, give_up_s=give_up_s)
        if command.kind in self.lost:
            raise LedgerUnavailable("lost")
        if reply.reply == "Retry":
            raise LedgerUnavailable("retry")
        return reply

    async def check_installation(self) -> dict[str, Any]:
        self.installations += 1
        if self.away:
            raise LedgerUnavailable("away")
        return {}

    async def query(self, name: str, data: dict[str, Any], **where: Any) -> dict[str, Any]:
        if name != "key_by_hash":
            where.setdefault("account_id", data.get("account_id"))
            return await super().query(name, data, **where)
        self.asked.append((name, data))
        if self.away:
            raise LedgerUnavailable("away")
        if data["hash"] not in self.keys_by_hash:
            raise QueryFailed("unknown_key", "no such key")
        account_id, key_id = self.keys_by_hash[data["hash"]]
        account = self.rules.accounts[account_id]
        key = account.keys[key_id]
        facts = {
            "key_id": key_id,
            "account_id": account_id,
            "purpose": key.purpose,
            "allowed": None if key.allowed is None else list(key.allowed),
            "unit": account.unit,
            "plan": account.plan,
            "key_status": "revoked" if key.revoked else "active",
            "account_status": account.status,
            "expires_at": key.expires_at,
        }
        return {
            "ok": True, "position": len(self.rules.events), "as_of_position": None, "data": facts,
        }  # fmt: skip

    def account(self, nanos: int, *, unit: str = "USD", plan: str = "payg") -> str:
        """Open an account with this much available."""
        account_id = new_id("acct")
        data = {"unit": unit, "plan": plan, "catalogue": "c" * 64}
        self.run(command(c.OpenAccount, account_id, data, caller_id=account_id))
        if nanos:
            self.run(grant(account_id, nanos))
        return account_id

    def key(self, account_id: str, **data: Any) -> str:
        """Issue a key; return its secret."""
        key_id, secret = new_id("key"), new_secret(0)
        deadline = self.rules.at + timedelta(seconds=5)
        self.run(issue_key(account_id, key_id, deadline, **data))
        self.keys_by_hash[secret_hash(secret)] = (account_id, key_id)
        return secret

    def run(self, command: c.Command) -> Reply:
        """Decide a command of any class."""
        reply = self._decide(command, (command.caller_id, command.kind, command.account_id))
        assert reply.reply not in {"Declined", "Conflict"}, reply
        return reply

    def freeze(self, account_id: str) -> None:
        data = {"reason": "manual", "revoke_keys": False}
        self.run(command(c.FreezeAccount, account_id, data))

    def available(self, account_id: str) -> int:
        return self.rules.accounts[account_id].available

    def reserved(self, account_id: str) -> int:
        return self.rules.accounts[account_id].reserved

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.rules.events if event.type == kind]

    def kinds(self) -> list[str]:
        """The commands that arrived, in order."""
        return [command.kind for command in self.sent]


def catalogue_for(url: str, text: str = EXAMPLE, **replaced: str) -> Catalogue:
    """The example catalogue with its upstreams at `url`."""
    text = text.replace("https://llm.north.example/v1", f"{url}/v1")
    text = text.replace("http://127.0.0.1:9100", url)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return parse(text)


@dataclass
class RunningGateway:
    """A worker that listens."""

    worker: Worker
    url: str
    ledger: GatewayLedger
    http: httpx.AsyncClient

    def sdk(self, key: str, **options: Any) -> AsyncOpenAI:
        """The unmodified SDK, without its retries unless asked for."""
        options.setdefault("max_retries", 0)
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **options)

    async def chat(self, key: str, **fields: Any) -> httpx.Response:
        body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]} | fields
        return await self.http.post(
            "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
        )

    def chat_stream(
        self, key: str, **fields: Any
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """A streamed completion whose bytes can be read one by one."""
        messages = [{"role": "user", "content": "Hello"}]
        body = {"model": "swift-1", "messages": messages, "stream": True} | fields
        headers = {"authorization": f"Bearer {key}"}
        return self.http.stream("POST", "/v1/chat/completions", json=body, headers=headers)


@contextlib.asynccontextmanager
async def running_gateway(
    folder: Path,
    catalogue: Catalogue,
    ledger: GatewayLedger,
    *,
    admitted: bool = True,
    around: Callable[[Any], Any] | None = None,
    **settings: Any,
) -> AsyncIterator[RunningGateway]:
    """Serve one worker on a free port; its journal is replayed only when the test says so.

    `around` puts an ASGI application of the test's own in front of the worker's.
    """
    settings = {"data_dir": folder, "journal_min_free": 0, "shutdown_grace_s": 2} | settings
    settings.setdefault("billing_requests_per_minute", 1_000_000)
    listening = listen(("127.0.0.1", 0), shared=False)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    gateway = Gateway(
        settings=GatewaySettings(**settings),
        catalogue=catalogue,
        ledger=cast("Any", ledger),
        keys=KeyDirectory(ledger, partitions=4),
        nc=cast("Any", None),
        clock=SystemClock(),
        health=Health(),
        public_url=url,
    )
    keys = {upstream.key_env: PROVIDER_KEY for upstream in catalogue.upstreams.values()}
    async with open_worker(gateway, keys) as opened:
        opened.paid.open = admitted
        worker = opened if around is None else replace(opened, root=around(opened.root))
        async with (
            worker.serving(listening),
            httpx.AsyncClient(base_url=url, timeout=30) as http,
        ):
            yield RunningGateway(worker, url, ledger, http)


def script(provider: RunningProvider, **rule: Any) -> None:
    """What the provider's next answers shall be."""
    outer = {name: rule.pop(name) for name in ("times", "path", "contains") if name in rule}
    provider.record.rules.append(Rule.model_validate({"script": rule, **outer}))


async def until(holds: Callable[[], object]) -> None:
    """Wait for a condition; fails when it does not come true in time."""

    async def asked() -> object:
        return holds()

    await eventually(asked)


async def all_closed(ledger: GatewayLedger) -> None:
    """Wait until something was sent and no reservation is open."""
    await until(lambda: ledger.sent and not ledger.rules.reservations)
