"""Every process is replaced under load, one after another, and no client notices."""

import asyncio
import itertools
import signal
from collections import Counter
from decimal import Decimal

import pytest

from tests.support.gateway import script
from tests.support.installation import DOLLAR, charge_of
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("OPS-2")

CALLERS = 3
PATIENT_S = 20.0
ENV = {
    "gateway": {"FAREBOX_KEY_CACHE_MAX": "0"},  # so that every request asks the reader too
}


class Balancer:
    """What stands before the gateways: the next request goes to the next one in service."""

    def __init__(self, farebox):
        self.farebox = farebox
        self.under_way = Counter()
        self.serve()

    def serve(self, *gateways):
        self.in_service = gateways
        self._next = itertools.cycle(gateways)

    async def chat(self, customer, **fields):
        gateway = next(self._next)
        self.under_way[gateway] += 1
        try:
            return await self.farebox.chat(gateway, customer, **fields)
        finally:
            self.under_way[gateway] -= 1

    async def drained(self, gateway):
        async def idle():
            return not self.under_way[gateway]

        await until(idle)


class Client:
    """Asks for ever, every other time for a stream, and keeps what it got."""

    def __init__(self, balancer, customer):
        self.balancer = balancer
        self.customer = customer
        self.answers = []
        self.stopping = False

    async def run(self):
        for number in itertools.count():
            if self.stopping:
                return
            stream = number % 2 == 1
            answer = await self.balancer.chat(self.customer, stream=stream, max_tokens=50)
            assert answer.status_code == 200, answer.text
            assert not stream or answer.text.endswith("data: [DONE]\n\n")
            self.answers.append(answer)


class Clients(list):
    async def go_on(self):
        """Wait until each was served twice more: once begun before now, and once since."""
        before = [len(client.answers) for client in self]

        async def served():
            for task in self.tasks:
                assert not task.done(), task.exception()
            return all(
                len(client.answers) > count + 1 for client, count in zip(self, before, strict=True)
            )

        await until(served, PATIENT_S)

    def start(self):
        self.tasks = [asyncio.create_task(client.run()) for client in self]

    async def end(self):
        for client in self:
            client.stopping = True
        await asyncio.gather(*self.tasks)


async def retire(farebox, name):
    farebox.process(name).kill(signal.SIGTERM)
    assert await asyncio.to_thread(farebox.process(name).wait) == 0


async def replace(farebox, clients, old, new):
    """As an operator does: the new one is ready before the old one is told to go."""
    await farebox.start(new)
    await retire(farebox, old)
    await clients.go_on()


async def test_rolling_restart_under_load_has_no_5xx(farebox, provider):
    script(provider, delay_ms=20, times=None)
    await farebox.start("ledger-2", "gateway-1", "gateway-2")
    balancer = Balancer(farebox)
    balancer.serve("gateway-1", "gateway-2")
    customers = [await farebox.customer(DOLLAR, partition=n % 3) for n in range(CALLERS)]
    clients = Clients(Client(balancer, customer) for customer in customers)
    clients.start()
    await clients.go_on()

    await replace(farebox, clients, "ledger", "ledger-3")
    await retire(farebox, "ledger-2")
    await clients.go_on()
    await replace(farebox, clients, "reader", "reader-2")
    for old, stays, new in (
        ("gateway-1", "gateway-2", "gateway-3"),
        ("gateway-2", "gateway-3", "gateway-4"),
    ):
        await farebox.start(new)
        balancer.serve(stays, new)
        await balancer.drained(old)
        await retire(farebox, old)
        await clients.go_on()

    await clients.end()
    await _each_was_charged_what_it_was_told(farebox, clients)
    used = [charge_of(call.usage) for call in provider.record.calls]
    assert len(used) == sum(len(client.answers) for client in clients)
    left = [await farebox.settled(customer) for customer in customers]
    assert sum(left) == CALLERS * DOLLAR - sum(used)


async def _each_was_charged_what_it_was_told(farebox, clients):
    for client in clients:
        await farebox.settled(client.customer)
        charged = {
            event["data"]["res"]: int(event["data"]["charge"])
            for event in await farebox.events(client.customer.account, "CreditsCharged")
        }
        assert set(charged) == {answer.headers["farebox-request-id"] for answer in client.answers}
        for answer in client.answers:
            if "farebox-charged" in answer.headers:
                told = int(Decimal(answer.headers["farebox-charged"]) * DOLLAR)
                assert told == charged[answer.headers["farebox-request-id"]]
