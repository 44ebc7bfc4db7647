"""Clients of the ledger: they retry with the same id, give up, keep a journal, and forget."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from libs.events import commands as c
from libs.events.commands import Command
from tests.seeded.wire import Answer, Wire
from tests.support import deciding as d

FEE = {"currency": "USD", "minor": 1, "schedule": "fee-1"}


@dataclass
class Customer:
    account_id: str
    keys: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    freezes: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)


@dataclass
class World:
    """What all callers share: customers, the journal of what must still be said, and steps."""

    rng: random.Random
    wire: Wire
    steps_left: int
    customers: list[Customer] = field(default_factory=list)
    journal: list[Command] = field(default_factory=list)
    replaying: int = 0
    catalogues: list[str] = field(default_factory=lambda: [d.CATALOGUE])
    """Those that were ever published, in force or not; the first is for good."""

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self.rng.getrandbits(128):032x}"

    async def ask(self, who: str, command: Command, give_up_s: float = 20.0) -> Answer | None:
        self.steps_left -= 1
        return await self.wire.ask(who, command, give_up_s)

    async def replay_journal(self) -> None:
        """What could not be said is said again until it is answered."""
        while True:
            await asyncio.sleep(1.0)
            waiting, self.journal = self.journal, []
            self.replaying = len(waiting)
            for command in waiting:
                if await self.wire.ask("journal", command, 10.0) is None:
                    self.journal.append(command)
            self.replaying = 0

    async def publish(self) -> None:
        """Nothing can be held before the partition sells by the catalogue."""
        while await self.wire.ask("setup", d.publish(0), 20.0) is None:
            pass

    async def open_customer(self) -> None:
        customer = Customer(self.new_id("acct"))
        self.customers.append(customer)
        initial = self.rng.choice((None, 500))
        await self.ask("setup", d.open_account(customer.account_id, initial=initial))
        await self.issue_key(customer, "setup")
        await self.grant(customer, "setup")

    def deadline(self) -> Any:
        return self.wire.ledger_now() + timedelta(seconds=5)

    async def issue_key(self, customer: Customer, who: str) -> None:
        rng, key_id = self.rng, self.new_id("key")
        caps = {
            cap: rng.randrange(50, 3000)
            for cap in ("cap_total", "cap_day", "cap_month")
            if rng.random() < 0.25
        }
        rotates = rng.choice(customer.keys) if customer.keys and rng.random() < 0.7 else None
        command = d.issue_key(
            customer.account_id, key_id, self.deadline(), rotates=rotates,
            overlap_ms=rng.randrange(5000), purpose=rng.choice(("inference", "service")), **caps,
        )  # fmt: skip
        answer = await self.ask(who, command)
        if answer is not None and answer["reply"] == "Issued":
            customer.keys.append(key_id)

    async def grant(self, customer: Customer, who: str) -> None:
        rng = self.rng
        data: dict[str, Any] = {"source": rng.choice(("purchase", "admin", "reward"))}
        if data["source"] == "purchase":
            data["payment"] = f"pi_{rng.getrandbits(32):08x}"
        if rng.random() < 0.4:
            later = timedelta(seconds=rng.uniform(0.5, 20))
            data["expires_at"] = self.wire.ledger_now() + later
        amount, priority = rng.randrange(1, 1500), rng.randrange(3)
        command = d.command(
            c.GrantCredits, customer.account_id,
            {"amount": amount, "priority": priority, "reason_code": "test", **data},
            caller_id=f"topup:{data.get('payment') or self.new_id('grant')}",
        )  # fmt: skip
        answer = await self.ask(who, command)
        if answer is not None and answer["reply"] == "Granted" and "payment" in data:
            customer.payments.append(data["payment"])


class Caller:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.rng = world.rng
        self.name = name

    async def run(self) -> None:
        actions = [action for action, weight in self._actions() for _ in range(weight)]
        pace = self.rng.choice((20, 200))  # the faster, the more is asked while an append runs
        while self.world.steps_left > 0:
            customer = self.rng.choice(self.world.customers)
            await self.rng.choice(actions)(customer)
            await asyncio.sleep(self.rng.expovariate(pace))

    def _actions(self) -> list[tuple[Any, int]]:
        world = self.world
        return [
            (self._request, 60),
            (lambda customer: world.grant(customer, self.name), 8),
            (lambda customer: world.issue_key(customer, self.name), 3),
            (self._revoke, 1),
            (self._refund, 6),
            (self._claim, 4),
            (self._reverse, 2),
            (self._freeze, 1),
            (self._unfreeze, 3),
            (self._limit, 2),
            (self._correct, 1),
            (self._meddle, 2),
            (self._configure_recharge, 2),
            (self._publish, 1),
            (self._recharge, 4),
        ]

    async def _say(self, command: Command) -> Answer | None:
        return await self.world.ask(self.name, command)

    async def _request(self, customer: Customer) -> None:
        """One paid request: hold, perhaps more, then the charge, a release, or silence."""
        rng, world = self.rng, self.world
        if not customer.keys:
            return
        res, amount, deadline = world.new_id("req"), rng.randrange(1, 400), world.deadline()
        command = d.reserve(
            customer.account_id, rng.choice(customer.keys[-3:]), amount, deadline, res=res,
            at_least=rng.randrange(1, amount + 1), hold_ms=rng.randrange(200, 6000),
            at_deadline=rng.choice(("release", "charge")), fee=rng.choice((None, FEE)),
            attached_cost_ceiling=rng.choice((None, 300)),
            catalogue=rng.choice((d.CATALOGUE, *world.catalogues[-2:])),
        )  # fmt: skip
        answer = await world.ask(self.name, command, 4.0)
        if answer is None:
            lost = d.release(customer.account_id, res, reserve_deadline=deadline)
            world.journal.append(lost)
            return
        if answer["reply"] != "Reserved":
            return
        await asyncio.sleep(rng.expovariate(2))
        held, fate = int(answer["data"]["amount"]), rng.random()
        if fate < 0.2:
            await self._extend(customer, res, held)
        if command.data.attached_cost_ceiling and fate < 0.6:
            await self._call(customer, res)
        if fate < 0.1:
            return  # the client died; its hold expires
        if rng.random() < 0.1:
            await asyncio.sleep(rng.uniform(3, 12))  # an outage longer than the hold
        await self._close(customer, res, held)

    async def _extend(self, customer: Customer, res: str, held: int) -> None:
        rng = self.rng
        data = {
            "res": res, "total": held + rng.randrange(0, 200), "hold_ms": rng.randrange(200, 6000),
            "used_so_far": rng.randrange(held + 1),
        }  # fmt: skip
        command = d.command(
            c.Extend, customer.account_id, data, caller_id=f"extend:{res}:1",
            deadline=self.world.deadline(),
        )  # fmt: skip
        await self.world.ask(self.name, command, 4.0)

    async def _call(self, customer: Customer, res: str) -> None:
        """One call under the hold; its caller may forget it, or be told late that it may run."""
        rng, call = self.rng, f"call-{self.rng.getrandbits(64):016x}"
        bound, deadline = rng.randrange(200), self.world.deadline()
        command = d.attach(
            customer.account_id, res, call, bound, deadline, hold_ms=rng.randrange(1, 800)
        )
        answer = await self.world.ask(self.name, command, 4.0)
        if answer is None or answer["reply"] == "Attached":
            await asyncio.sleep(rng.expovariate(10))
            if rng.random() < 0.9:
                cost = 0 if answer is None else rng.randrange(bound + 20)
                command = d.detach(customer.account_id, res, call, cost)
                if await self.world.ask(self.name, command, 2.0) is None:
                    self.world.journal.append(command)

    async def _close(self, customer: Customer, res: str, held: int) -> None:
        rng = self.rng
        if rng.random() < 0.15:
            command = d.release(customer.account_id, res)
        else:
            charge = rng.choice((0, held, rng.randrange(held + 1), held + rng.randrange(300)))
            command = d.settle(customer.account_id, res, charge, margin=charge // 11)
        answer = await self.world.ask(self.name, command, 2.0)
        if answer is None:
            self.world.journal.append(command)
        if command.kind == "Settle":
            customer.settled.append(res)

    async def _refund(self, customer: Customer) -> None:
        if customer.settled:
            res, number = self.rng.choice(customer.settled[-8:]), self.rng.getrandbits(32)
            await self._say(d.refund(customer.account_id, res, self.rng.randrange(1, 150), number))

    async def _claim(self, customer: Customer) -> None:
        if customer.payments:
            cause, paid = f"dispute:{self.rng.getrandbits(32):08x}", 1000
            returned = self.rng.choice((paid, self.rng.randrange(1, paid + 1)))
            payment = self.rng.choice(customer.payments)
            answer = await self._say(
                d.clawback(customer.account_id, payment, returned, paid, cause)
            )
            if answer is not None and answer["reply"] == "ClawedBack":
                customer.causes.append(cause)

    async def _reverse(self, customer: Customer) -> None:
        if customer.causes:
            cause = customer.causes.pop(self.rng.randrange(len(customer.causes)))
            await self._say(d.reverse(customer.account_id, cause))

    async def _correct(self, customer: Customer) -> None:
        command = d.command(
            c.Clawback, customer.account_id,
            {"cause": "adjustment", "amount": self.rng.randrange(1, 100)},
            caller_id=self.world.new_id("note"),
        )  # fmt: skip
        await self._say(command)

    async def _revoke(self, customer: Customer) -> None:
        if len(customer.keys) > 1:
            key_id = customer.keys.pop(0)
            data = {"key_id": key_id, "reason_code": "test"}
            await self._say(
                d.command(c.RevokeKey, customer.account_id, data, caller_id=f"revoke:{key_id}")
            )

    async def _freeze(self, customer: Customer) -> None:
        reason = f"dispute:{self.rng.getrandbits(32):08x}"
        customer.freezes.append(reason)
        data = {"reason": reason, "revoke_keys": False}
        await self._say(
            d.command(c.FreezeAccount, customer.account_id, data, caller_id=f"freeze:{reason}")
        )

    async def _unfreeze(self, customer: Customer) -> None:
        if customer.freezes:
            reason = customer.freezes.pop()
            data, caller = {"reason": reason}, f"unfreeze:{reason}"
            await self._say(
                d.command(c.UnfreezeAccount, customer.account_id, data, caller_id=caller)
            )

    async def _limit(self, customer: Customer) -> None:
        rng = self.rng
        data = {name: rng.choice((None, rng.randrange(100, 3000))) for name in ("day", "month")} | {
            "alerts": []
        }
        await self._say(
            d.command(
                c.SetSpendLimits, customer.account_id, data, caller_id=self.world.new_id("note")
            )
        )

    async def _meddle(self, customer: Customer) -> None:
        """Somebody else's reservation: it must stay as foreign as an invented one."""
        other = self.rng.choice(self.world.customers)
        if other is not customer and other.settled:
            await self._say(d.settle(customer.account_id, self.rng.choice(other.settled), 10))

    async def _publish(self, _customer: Customer) -> None:
        """A new catalogue, soon or at once; it may end the one before it."""
        world, rng = self.world, self.rng
        soon = world.wire.ledger_now() + timedelta(seconds=rng.uniform(-1, 3))
        ends = [
            name for name in world.catalogues[-1:] if name != d.CATALOGUE and rng.random() < 0.7
        ]
        name = f"{rng.getrandbits(256):064x}"
        await self._say(d.publish(0, name, effective_from=soon, withdraws=ends))
        world.catalogues.append(name)

    async def _configure_recharge(self, customer: Customer) -> None:
        rng = self.rng
        data = {
            "enabled": rng.random() < 0.8, "threshold": rng.randrange(1, 800), "amount": 500,
            "basis": rng.choice(("total", "available")),
        }  # fmt: skip
        caller = self.world.new_id("note")
        await self._say(d.command(c.ConfigureRecharge, customer.account_id, data, caller_id=caller))

    async def _recharge(self, customer: Customer) -> None:
        """One attempt to recharge: paid, or failed and resumed."""
        rng, attempt, account = self.rng, self.world.new_id("rchg"), customer.account_id
        price = {"currency": "USD", "minor": 5}
        data = {"attempt_id": attempt, "credits": 500, "price": price, "trigger": "sweep:1"}
        deadline = self.world.deadline()
        answer = await self._say(
            d.command(c.StartRecharge, account, data, caller_id=attempt, deadline=deadline)
        )
        if answer is None or answer["reply"] != "Started":
            return
        if rng.random() < 0.5:
            paid = {
                "source": "recharge", "amount": 500, "priority": 0, "reason_code": "test",
                "attempt_id": attempt, "payment": f"pi_{attempt[5:13]}",
            }  # fmt: skip
            await self._say(d.command(c.GrantCredits, account, paid, caller_id=f"topup:{attempt}"))
            return
        kind = rng.choice(("soft", "hard", "authentication", "abandoned"))
        failed = {"attempt_id": attempt, "class": kind, "code": "declined"}
        await self._say(
            d.command(c.RecordRechargeFailure, account, failed, caller_id=f"failed:{attempt}")
        )
        resumed, caller = {"reason": "operator"}, self.world.new_id("note")
        await self._say(d.command(c.ResumeRecharge, account, resumed, caller_id=caller))
