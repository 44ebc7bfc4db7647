"""Every situation that ends in an error, in both dialects: what is told, whether SDKs come again.

None of them charges anything or leaves anything held, and only those `called` reach a provider.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from libs.events import commands as c
from libs.events.ids import new_secret
from simulators.provider.app import RunningProvider
from tests.support.catalogue import ANTHROPIC, DIALECTS
from tests.support.deciding import command
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
    until,
)

pytestmark = pytest.mark.requirement("PRC-4", "RSV-9")

_PLAN = """
[plans.{name}]
unit = "USD"
sells = ["swift-1", "verse-1"]
limits = {{ requests = 1, per = "{per}", concurrent = 1 }}
"""
TOML = ANTHROPIC + _PLAN.format(name="slow", per="20s") + _PLAN.format(name="rare", per="10m")
NEVER = {"x-should-retry": "false"}


@dataclass
class Customer:
    """An account with a key that speaks one dialect."""

    gateway: RunningGateway
    provider: RunningProvider
    dialect: str
    plan: str = "payg"
    balance: int = DOLLAR

    def __post_init__(self) -> None:
        self.ledger = self.gateway.ledger
        self.account = self.ledger.account(self.balance, plan=self.plan)
        self.key = self.ledger.key(self.account)

    def other(self, **changed: Any) -> "Customer":
        return Customer(self.gateway, self.provider, self.dialect, **changed)

    async def ask(
        self, key: str | None = None, content: bytes | None = None, **fields: Any
    ) -> httpx.Response:
        path, model = DIALECTS[self.dialect]
        given = fields.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
        headers = {"x-api-key": self.key if key is None else key, "anthropic-version": "2023-06-01"}
        content = orjson.dumps(body | fields) if content is None else content
        return await self.gateway.http.post(path, content=content, headers=headers | given)


@dataclass(frozen=True)
class Row:
    """`types`: in OpenAI's and in Anthropic's words; `source`: what limits, of a 402.

    `again`: the headers by which SDKs know whether and when to come again.
    """

    status: int
    code: str
    types: tuple[str, str]
    ask: Callable[[Customer], Awaitable[httpx.Response]]
    param: str | None = None
    again: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    called: bool = False
    anthropic_status: int | None = None


async def revoked(who: Customer) -> httpx.Response:
    [key_id] = who.ledger.rules.accounts[who.account].keys
    data = {"key_id": key_id, "reason_code": "lost"}
    who.ledger.run(command(c.RevokeKey, who.account, data, caller_id=f"revoke:{key_id}"))
    return await who.ask()


async def expired(who: Customer) -> httpx.Response:
    key = who.ledger.key(who.account, expires_at=who.ledger.rules.at + timedelta(minutes=1))
    who.ledger.rules.after(minutes=1)
    return await who.ask(key)


async def frozen(who: Customer) -> httpx.Response:
    who.ledger.freeze(who.account)
    return await who.ask()


async def poor(who: Customer) -> httpx.Response:
    return await who.other(balance=2_000).ask()


async def in_flight(who: Customer) -> httpx.Response:
    """All but a little of the balance is held by another request, which ends afterwards."""
    who = who.other(balance=20_000_000)
    gate = who.ledger.held["Settle"] = asyncio.Event()
    most = {"openai": 8_000, "anthropic": 900}[who.dialect]
    first = asyncio.create_task(who.ask(max_tokens=most))
    await until(lambda: "Settle" in who.ledger.tries)
    answer = await who.ask(max_tokens=most)
    gate.set()
    assert (await first).status_code == 200
    return answer


async def account_capped(who: Customer) -> httpx.Response:
    data = {"day": 1_000, "month": None, "alerts": []}
    who.ledger.run(command(c.SetSpendLimits, who.account, data))
    return await who.ask()


async def too_fast(who: Customer) -> httpx.Response:
    who = who.other(plan="slow")
    await who.ask(content=b"{")
    return await who.ask()


async def much_too_fast(who: Customer) -> httpx.Response:
    who = who.other(plan="rare")
    await who.ask(content=b"{")
    return await who.ask()


async def at_once(who: Customer) -> httpx.Response:
    who = who.other(plan="slow")
    gate = who.ledger.held["Reserve"] = asyncio.Event()
    first = asyncio.create_task(who.ask(max_tokens=1))
    await until(lambda: "Reserve" in who.ledger.tries)
    answer = await who.ask()
    who.ledger.unheard.add("Reserve")  # so that no provider is called for it
    gate.set()
    assert (await first).status_code == 503
    return answer


async def ledger_away(who: Customer) -> httpx.Response:
    who.ledger.unheard.add("Reserve")
    return await who.ask()


def by_key(**data: Any) -> Callable[[Customer], Awaitable[httpx.Response]]:
    return lambda who: who.ask(who.ledger.key(who.account, **data))


def by_body(**fields: Any) -> Callable[[Customer], Awaitable[httpx.Response]]:
    return lambda who: who.ask(**fields)


def too_large(who: Customer) -> Awaitable[httpx.Response]:
    most = who.gateway.worker.gateway.catalogue.gateway.body_max
    return who.ask(content=b" " * (most + 1))


def provider(**rule: Any) -> Callable[[Customer], Awaitable[httpx.Response]]:
    def ask(who: Customer) -> Awaitable[httpx.Response]:
        script(who.provider, **rule)
        return who.ask()

    return ask


_UNKNOWN = ("invalid_request_error", "authentication_error")
_NOT_ALLOWED = ("permission_error", "permission_error")
_WRONG = ("invalid_request_error", "invalid_request_error")
_CREDITS = ("insufficient_prepaid_balance", "billing_error")
_LIMITED = ("requests", "rate_limit_error")
_OURS = ("server_error", "api_error")
_402 = (402, "insufficient_prepaid_balance", _CREDITS)
SOON = {"retry-after": "1"}

ROWS = {
    "no_key": Row(401, "invalid_api_key", _UNKNOWN, by_body(key="")),
    "unknown_key": Row(401, "invalid_api_key", _UNKNOWN, lambda who: who.ask(new_secret(0))),
    "revoked": Row(401, "invalid_api_key", _UNKNOWN, revoked),
    "expired": Row(401, "invalid_api_key", _UNKNOWN, expired),
    "other_purpose": Row(403, "scope_missing", _NOT_ALLOWED, by_key(purpose="account")),
    "other_model": Row(
        403, "model_not_allowed", _NOT_ALLOWED, by_key(allowed=["other"]), param="model"
    ),
    "frozen": Row(403, "account_frozen", _NOT_ALLOWED, frozen),
    "balance": Row(*_402, poor, again=NEVER, source="balance"),
    "in_flight": Row(
        *_402, in_flight, again=SOON | {"x-should-retry": "true"}, source="in_flight", called=True
    ),
    "key_cap": Row(*_402, by_key(cap_total=1_000), again=NEVER, source="key_cap"),
    "account_cap": Row(*_402, account_capped, again=NEVER, source="account_cap"),
    "rate": Row(429, "rate_limit_exceeded", _LIMITED, too_fast, again={"retry-after": "20"}),
    "rate_for_long": Row(429, "rate_limit_exceeded", _LIMITED, much_too_fast, again=NEVER),
    "at_once": Row(429, "concurrency_exceeded", _LIMITED, at_once, again=SOON),
    "unknown_model": Row(
        404,
        "model_not_found",
        ("invalid_request_error", "not_found_error"),
        by_body(model="free-lunch"),
        param="model",
    ),
    "unbounded": Row(
        400, "unsupported_parameter", _WRONG, by_body(service_tier="flex"), param="service_tier"
    ),
    "no_sense": Row(400, "invalid_value", _WRONG, by_body(stream="yes"), param="stream"),
    "no_json": Row(400, "invalid_json", _WRONG, by_body(content=b"{")),
    "too_large": Row(
        413, "request_too_large", ("invalid_request_error", "request_too_large"), too_large
    ),
    "compressed": Row(
        415, "unsupported_encoding", _WRONG, by_body(headers={"content-encoding": "gzip"})
    ),
    "ledger_away": Row(503, "ledger_unavailable", _OURS, ledger_away, again={"retry-after": "2"}),
    "provider_fails": Row(502, "upstream_error", _OURS, provider(status=500), called=True),
    "provider_breaks_off": Row(502, "upstream_interrupted", _OURS, provider(reset=True), called=True),
    "provider_refuses_us": Row(502, "upstream_refused", _OURS, provider(status=401), called=True),
    "provider_overloaded": Row(
        503,
        "upstream_overloaded",
        ("server_error", "overloaded_error"),
        provider(status=529, retry_after="3"),
        again={"retry-after": "3"},
        called=True,
        anthropic_status=529,
    ),
    "provider_too_late": Row(
        504, "upstream_timeout", ("server_error", "timeout_error"), provider(status=504), called=True
    ),
    "provider_limits_us": Row(
        429,
        "upstream_rate_limited",
        _LIMITED,
        provider(status=429, retry_after="900"),
        again=NEVER,
        called=True,
    ),
}  # fmt: skip
_AGAIN = ("retry-after", "x-should-retry")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_each_situation_is_told_as_its_sdk_reads_it(
    gateway: RunningGateway,
    ledger: GatewayLedger,
    provider: RunningProvider,
    row: Row,
    dialect: str,
):
    answer = await row.ask(Customer(gateway, provider, dialect))
    openai = dialect == "openai"
    assert answer.status_code == (row.status if openai else row.anthropic_status or row.status)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == answer.headers["request-id"]
    body = answer.json()
    error = body["error"]
    details = error.get("details", {})
    assert error["message"]
    assert error["type"] == row.types[not openai]
    if openai:
        assert (error["code"], error["param"]) == (row.code, row.param)
    else:
        assert (body["type"], body["request_id"]) == ("error", answer.headers["request-id"])
        assert (details["error_code"], details.get("param")) == (row.code, row.param)
    told = {name: answer.headers[name] for name in _AGAIN if name in answer.headers}
    assert told == row.again
    if row.source:
        assert details["limit_source"] == row.source
        assert {"available", "required", "reserved", "top_up_url"} <= details.keys()
        fits = "max_affordable_output_tokens" in details
        assert fits == (row.source in {"balance", "in_flight"})
    assert bool(provider.record.calls) == row.called
    if row.source != "in_flight":
        assert ledger.events("CreditsCharged") == []
    assert not ledger.rules.reservations


def test_the_page_of_errors_names_each():
    page = (Path(__file__).parents[4] / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert [row.code for row in ROWS.values() if f"`{row.code}`" not in page] == []
