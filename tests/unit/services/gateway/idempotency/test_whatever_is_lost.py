"""Random stories of one request that is repeated at two workers, while replies get lost."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libs.events.commands import Command
from libs.events.ids import new_id
from libs.events.replies import Reply
from libs.runtime.clock import SystemClock
from libs.runtime.errors import LedgerUnavailable
from services.gateway.errors import Refusal, openai_body, openai_event, plain_status
from services.gateway.exchange import Exchange, Head
from services.gateway.hold import Hold
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.claim import Memory
from services.gateway.idempotency.claims import Claims
from services.gateway.idempotency.records import Records
from services.gateway.journal import Journal
from services.gateway.keys import KeyInfo
from services.gateway.orders import Order, Served, Settlement
from services.gateway.pump import Outcome, Pumps, Told
from services.gateway.replay import Replay
from services.gateway.reservations import Reservations
from tests.support.gateway import DOLLAR, GatewayLedger

STORIES = 40
CHARGE = 5
SERVED = Served("swift-1", "north/swift-1", (), 200)
SCOPE = {
    "method": "POST",
    "path": "/v1/chat/completions",
    "query_string": b"",
    "headers": [(b"idempotency-key", b"order 81")],
}


class Shape:
    error_body = staticmethod(openai_body)
    error_event = staticmethod(openai_event)
    status_of = staticmethod(plain_status)


@dataclass
class Losing(GatewayLedger):
    """Loses commands and replies by chance, and takes its time."""

    dice: random.Random = field(default_factory=random.Random)
    losing: bool = True

    async def pause(self) -> None:
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)

    async def send(self, command: Command, *, give_up_s: float) -> Reply:
        await self.pause()
        if self.losing and self.dice.random() < 0.2:
            raise LedgerUnavailable("unheard")
        reply = await super().send(command, give_up_s=give_up_s)
        await self.pause()
        if self.losing and self.dice.random() < 0.2:
            raise LedgerUnavailable("lost")
        return reply

    async def query(self, name: str, data: dict[str, Any], **where: Any) -> dict[str, Any]:
        await self.pause()
        if self.losing and self.dice.random() < 0.1:
            raise LedgerUnavailable("away")
        return await super().query(name, data, **where)


@dataclass
class Job:
    """What runs upstream: it fails by chance, and every success is counted."""

    order: Order
    world: "World"
    amount: int = 9
    at_least: int = 9

    def told(self, hold: Hold) -> Told:
        return Told("north/swift-1", str(hold.amount))

    async def run(self, hold: Hold, told: Told, exchange: Exchange) -> Outcome:
        del hold, told, exchange
        await self.world.ledger.pause()
        if self.world.dice.random() < 0.4:
            return Outcome(SERVED, refusal=Refusal(502, "upstream_error", "failed"))
        self.world.successes.append(self.order.res)
        settlement = Settlement(CHARGE, 0, "actual", None, None, "stop")
        return Outcome(SERVED, settlement=settlement, body=self.order.res.encode())


class World:
    """Two workers, each with its journal, on one ledger."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.ledger = Losing(dice=self.dice)
        self.account = self.ledger.account(DOLLAR)
        self.ledger.key(self.account)
        [key_id] = self.ledger.rules.accounts[self.account].keys
        self.key = KeyInfo(
            key_id, self.account, "inference", None, "USD", "payg", "active", "open", None, 1
        )
        self.successes: list[str] = []
        self.whole: list[Head] = []

    async def open(self, folder: Path) -> None:
        self.journals = [Journal(folder / str(n), SystemClock()) for n in range(2)]
        for journal in self.journals:
            await journal.open()
        self.replays = [Replay(journal, self.ledger) for journal in self.journals]
        self.pumps = [
            Pumps(
                Reservations(
                    self.ledger, journal, catalogue="c" * 64, hold_ms=60_000, top_up_url="u"
                )
            )
            for journal in self.journals
        ]
        self.claims = [self.fresh(), self.fresh()]

    def fresh(self) -> Claims:
        """The claims of a worker that remembers nothing."""
        records = Records(SystemClock(), most=1_000_000, keep_s=60)
        return Claims(Memory(records, self.ledger, 1_000_000))

    async def ask(self, worker: int) -> None:
        """One repeat; by chance its worker is told to end meanwhile."""
        exchange = Exchange(new_id("req"), Shape(), stall_s=1)
        try:
            claim = self.claims[worker].of(SCOPE, self.key, b"body", None)
        except Refusal:
            return
        if isinstance(claim, Answer):
            claim.tell(exchange)
        else:
            tags = claim.tagged({})
            order = Order(
                exchange.request_id, self.account, self.key.key_id, "USD", "swift-1", "s",
                "release", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tags=tags,
            )  # fmt: skip
            task = self.pumps[worker].start(Job(order, self), claim, exchange)
            if self.dice.random() < 0.15:
                await self.ledger.pause()
                task.cancel()
            await asyncio.wait({task})
        if exchange.head is not None and exchange.head.status == 200:
            self.whole.append(exchange.head)

    async def act(self) -> None:
        worker = self.dice.randrange(2)
        match self.dice.randrange(8):
            case 0:
                await self.replays[worker].round()
            case 1 if not self.pumps[worker].exchanges():
                self.claims[worker] = self.fresh()  # it was restarted
            case _:
                await self.ask(worker)

    async def close(self) -> None:
        self.ledger.losing = False
        for replay in self.replays:
            await replay.round()
        for journal in self.journals:
            assert journal.entries() == []
            await journal.close()


@pytest.mark.requirement("RSV-3", "RSV-6", "RSV-8")
@pytest.mark.parametrize("seed", range(STORIES))
async def test_a_key_is_charged_once_at_the_most_and_nothing_stays_held(tmp_path: Path, seed: int):
    world = World(seed)
    await world.open(tmp_path)
    for _ in range(world.dice.randrange(2, 12)):
        await asyncio.gather(*[world.act() for _ in range(world.dice.randrange(1, 4))])
    await world.close()
    charged = [event["res"] for event in world.ledger.events("CreditsCharged")]
    assert len(world.successes) <= 1, "it never runs again after it has succeeded"
    assert charged == world.successes, "what has succeeded is charged, once"
    assert world.ledger.reserved(world.account) == 0
    assert world.ledger.available(world.account) == DOLLAR - CHARGE * len(charged)
    assert {head.body for head in world.whole} <= {res.encode() for res in charged}
