"""Real processes, killed and cut off: nothing is charged twice, nothing is lost, nothing is free."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.stack import LocalStack
from libs.events import commands as c
from libs.events.ids import new_id, new_secret, partition_of, secret_hash
from libs.runtime.command_client import CommandClient
from simulators.provider.app import DEFAULT_KEY, RunningProvider, running_provider
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import command, grant, issue_key
from tests.support.gateway import script, until
from tests.support.process import Process
from tests.support.services import example_config, ledger_client

CREDIT = 10**9
PATIENT_S = 20.0
KEYS = {
    "FAREBOX_UPSTREAM_NORTH_KEY": DEFAULT_KEY,
    "FAREBOX_UPSTREAM_SCORER_KEY": DEFAULT_KEY,
    "FAREBOX_LISTEN": "127.0.0.1:0",
}


@dataclass
class Customer:
    account: str
    headers: dict[str, str]


@dataclass
class House:
    """A provider in the test's loop; everything else in processes."""

    database: Database
    stack: LocalStack
    folder: Path
    config: Path
    provider: RunningProvider
    admin: CommandClient

    def process(self, name: str, **env: str) -> Process:
        return Process(name, self.database, self.folder, config=self.config, env={**KEYS, **env})

    async def start(self, process: Process) -> Process:
        return await asyncio.to_thread(process.start)

    async def customer(self, nanos: int, *, unit: str = "USD", plan: str = "payg") -> Customer:
        account, key = new_id("acct"), new_id("key")
        secret = new_secret(partition_of(account, PARTITIONS))
        deadline = self.admin.ledger_now() + timedelta(seconds=60)
        opened = {"unit": unit, "plan": plan, "catalogue": "c" * 64}
        for order in (
            command(c.OpenAccount, account, opened, caller_id=account),
            grant(account, nanos),
            issue_key(account, key, deadline, secret_hash=secret_hash(secret)),
        ):
            await self.admin.send(order, give_up_s=PATIENT_S)
        return Customer(account, {"authorization": f"Bearer {secret}"})

    async def balance(self, customer: Customer) -> tuple[int, int]:
        answer = await self.admin.query(
            "balance", {"account_id": customer.account}, account_id=customer.account
        )
        return int(answer["data"]["available"]), int(answer["data"]["reserved"])

    async def closed(self, customer: Customer) -> int:
        """Wait until nothing is held; return what is available."""
        for _ in range(int(PATIENT_S / 0.05)):
            available, reserved = await self.balance(customer)
            if reserved == 0:
                return available
            await asyncio.sleep(0.05)
        raise AssertionError("something is still held")


@pytest.fixture(scope="module")
async def house(
    database: Database, streams: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with running_provider() as provider:
        config = example_config(folder)
        text = config.read_text().replace("https://llm.north.example", provider.url)
        config.write_text(text.replace("http://127.0.0.1:9100", provider.url))
        ledger = Process("ledger", database, folder, config=config)
        reader = Process("reader", database, folder, config=config)
        try:
            await asyncio.to_thread(ledger.start)
            await asyncio.to_thread(reader.start)
            async with ledger_client(database, "admin", "admin") as admin:
                await admin.check_installation()
                yield House(database, streams, folder, config, provider, admin)
        finally:
            await asyncio.to_thread(reader.stop)
            await asyncio.to_thread(ledger.stop)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@pytest.fixture
async def gateways(house: House) -> AsyncIterator[list[Process]]:
    """Gateways that a test starts; they are ended after it."""
    started: list[Process] = []
    house.provider.record.reset()
    yield started
    for process in started:
        await asyncio.to_thread(process.stop)


def chat(http: httpx.AsyncClient, process: Process, customer: Customer, **fields: Any):
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]} | fields
    return http.post(
        process.url("http", "/v1/chat/completions"), json=body, headers=customer.headers
    )


@pytest.mark.requirement("RSV-3", "CRD-5")
async def test_one_credit_and_fifty_requests_over_two_gateways_is_one_call(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    for name in ("gateway", "gateway-2"):
        gateways.append(await house.start(house.process(name)))
    studio = await house.customer(CREDIT, unit="CREDIT", plan="studio")
    answers = await asyncio.gather(
        *[
            http.post(
                gateways[number % 2].url("http", "/v1/score-image"),
                json={"image": f"cat {number}"},
                headers=studio.headers,
            )
            for number in range(50)
        ]
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [402] * 49
    assert [call.path for call in house.provider.record.calls] == ["/score"]
    assert await house.balance(studio) == (0, 0)


@pytest.mark.requirement("RSV-6")
async def test_a_settlement_made_while_nats_is_down_survives_the_gateways_kill(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    gateway = await house.start(house.process("gateway"))
    gateways.append(gateway)
    payg = await house.customer(CREDIT)
    script(house.provider, hold=True)
    request = asyncio.create_task(chat(http, gateway, payg))
    await until(lambda: house.provider.record.calls)
    await asyncio.to_thread(house.stack.nats.kill)
    house.provider.record.release()
    answer = await request
    # The client has its answer, and what it owes is on disk.
    assert answer.status_code == 200
    assert "farebox-charged" not in answer.headers
    gateway.kill()
    await asyncio.to_thread(gateway.wait)
    await asyncio.to_thread(house.stack.nats.start)
    gateways.append(await house.start(house.process("gateway-2")))
    usage = answer.json()["usage"]
    cost = usage["prompt_tokens"] * 250_000 + usage["completion_tokens"] * 2_000_000
    assert await house.closed(payg) == CREDIT - -(-cost * 11 // 10_000)


@pytest.mark.requirement("RSV-4", "RSV-6")
async def test_a_gateway_killed_before_it_settles_charges_nothing(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    """The client got no answer; the hold stays until its deadline, and no charge is ever made."""
    dying = house.process("gateway", FAREBOX_FAULTS="1", FAREBOX_FAULT_POINT="before_settle")
    gateways.append(await house.start(dying))
    payg = await house.customer(CREDIT)
    with pytest.raises(httpx.TransportError):
        await chat(http, dying, payg)
    await asyncio.to_thread(dying.wait)
    available, reserved = await house.balance(payg)
    assert reserved > 0
    assert available + reserved == CREDIT
    gateways.append(await house.start(house.process("gateway-2")))
    answer = await chat(http, gateways[-1], payg)
    assert answer.status_code == 200


@pytest.mark.requirement("RSV-8")
async def test_without_a_ledger_a_request_is_a_503_and_nobody_is_called(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    gateway = await house.start(house.process("gateway"))
    gateways.append(gateway)
    payg = await house.customer(CREDIT)
    assert (await chat(http, gateway, payg)).status_code == 200
    house.provider.record.reset()
    await asyncio.to_thread(house.stack.nats.kill)
    answer = await chat(http, gateway, payg)
    await asyncio.to_thread(house.stack.nats.start)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert house.provider.record.calls == []


async def test_a_gateway_asked_to_stop_finishes_what_it_began(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    import signal

    gateway = await house.start(house.process("gateway"))
    gateways.append(gateway)
    payg = await house.customer(CREDIT)
    script(house.provider, hold_after_chunks=5)
    request = asyncio.create_task(chat(http, gateway, payg, stream=True))
    await until(lambda: house.provider.record.calls and house.provider.record.calls[0].chunks == 5)
    gateway.kill(signal.SIGTERM)
    await until(lambda: "stopping" in gateway.text() or not listening(gateway))
    house.provider.record.release()
    answer = await request
    assert answer.text.endswith("data: [DONE]\n\n")
    assert await asyncio.to_thread(gateway.wait) == 0
    assert (await house.balance(payg))[1] == 0


def listening(process: Process) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", process.port("http")), timeout=1).close()
    except (OSError, LookupError):
        return False
    return True


@pytest.mark.requirement("ACC-5")
async def test_a_revoked_key_is_refused_by_every_gateway_at_once(
    house: House, http: httpx.AsyncClient, gateways: list[Process]
):
    for name in ("gateway", "gateway-2"):
        gateways.append(await house.start(house.process(name)))
    payg = await house.customer(CREDIT)
    for gateway in gateways * 2:
        assert (await chat(http, gateway, payg)).status_code == 200
    listed = await house.admin.query("keys", {"account_id": payg.account}, account_id=payg.account)
    [key] = listed["data"]["keys"]
    data = {"key_id": key["key_id"], "reason_code": "lost"}
    await house.admin.send(
        command(c.RevokeKey, payg.account, data, caller_id=f"revoke:{key['key_id']}"),
        give_up_s=PATIENT_S,
    )
    for gateway in gateways:
        assert (await chat(http, gateway, payg)).status_code == 401
