"""What a repeat is told is told in the shape that its SDK reads, on OpenAI's and Anthropic's paths."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from simulators.provider.app import RunningProvider
from tests.support.catalogue import ANTHROPIC, DIALECTS
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
    until,
)

pytestmark = pytest.mark.requirement("RSV-3", "PRC-4")

TOML = ANTHROPIC
HELLO = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Client:
    """A customer who speaks one dialect."""

    gateway: RunningGateway
    account: str
    key: str
    path: str
    model: str

    async def ask(self, once: str = "o", *, key: str = "", **fields: Any) -> httpx.Response:
        given = fields.pop("headers", {})
        headers = {"authorization": f"Bearer {key or self.key}", "idempotency-key": once, **given}
        headers["anthropic-version"] = "2023-06-01"
        body = HELLO | {"model": self.model} | fields
        return await self.gateway.http.post(self.path, json=body, headers=headers)

    def error(self, answer: httpx.Response) -> tuple[int, str, str, dict[str, Any]]:
        """Status, type, code and details of an error."""
        told = answer.json()["error"]
        details = dict(told.get("details", {}))
        if self.model == "swift-1":
            return answer.status_code, told["type"], told["code"], details
        return answer.status_code, told["type"], details.pop("error_code"), details


@pytest.fixture(params=DIALECTS)
def client(
    request: pytest.FixtureRequest, gateway: RunningGateway, ledger: GatewayLedger
) -> Client:
    account = ledger.account(DOLLAR)
    path, model = DIALECTS[request.param]
    return Client(gateway, account, ledger.key(account), path, model)


@pytest.fixture
def kind(client: Client) -> str:
    return "idempotency_error" if client.model == "swift-1" else "invalid_request_error"


async def test_the_answer_is_told_again(client: Client, provider: RunningProvider):
    first, again = await client.ask(), await client.ask()
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] == first.headers["request-id"]
    assert len(provider.record.calls) == 1


async def test_what_runs_is_in_progress(client: Client, provider: RunningProvider, kind: str):
    script(provider, hold=True)
    running = asyncio.create_task(client.ask())
    await until(lambda: provider.record.calls)
    refused = await client.ask()
    provider.record.release()
    expected = {"request_id": (await running).headers["request-id"]}
    assert client.error(refused) == (409, kind, "idempotency_in_progress", expected)
    assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("1", "true")


async def test_another_request_is_a_mismatch(client: Client, provider: RunningProvider, kind: str):
    assert (await client.ask()).status_code == 200
    refused = await client.ask(max_tokens=51)
    assert client.error(refused) == (422, kind, "idempotency_mismatch", {})
    assert refused.headers["x-should-retry"] == "false"


async def test_a_stream_is_not_told_again(client: Client, provider: RunningProvider, kind: str):
    first = await client.ask(stream=True)
    refused = await client.ask(stream=True)
    *told, details = client.error(refused)
    assert told == [409, kind, "idempotency_not_replayable"]
    assert details["request_id"] == first.headers["request-id"]
    assert (details["status"], details["state"], details["currency"]) == (200, "settled", "USD")
    assert refused.headers["x-should-retry"] == "false"


async def test_failures_come_to_an_end(client: Client, provider: RunningProvider, kind: str):
    script(provider, status=400, times=16)
    for _ in range(16):
        assert (await client.ask()).status_code == 400
    refused = await client.ask()
    assert client.error(refused) == (409, kind, "idempotency_exhausted", {})
    assert refused.headers["x-should-retry"] == "false"
    assert len({event["res"] for event in client.gateway.ledger.events("CreditsReleased")}) == 16


async def test_what_is_no_key_is_refused(client: Client):
    refused = await client.ask("")
    assert client.error(refused)[:3] == (400, "invalid_request_error", "invalid_idempotency_key")


async def test_an_attached_call_takes_no_key(client: Client, ledger: GatewayLedger):
    service = ledger.key(client.account, purpose="service")
    held = await client.gateway.http.post(
        "/billing/v1/reservations",
        json={"amount": "0.10"},
        headers={"authorization": f"Bearer {service}", "idempotency-key": "hold"},
    )
    under = {"farebox-reservation": held.json()["reservation_id"]}
    refused = await client.ask(key=service, headers=under)
    assert client.error(refused)[:3] == (400, "invalid_request_error", "idempotency_not_supported")
